//! `run --observe`: one command without a grant, and the record of what would have been decided about one.

use std::sync::Arc;

use jit_client::{Env, auth_token_is_at_hand, scrubbed_for_observed_child};
use protocol::Ttl;

use super::{Finish, SIGINT, end_of_not_started, without_step};
use crate::args::RunArgs;
use crate::error::CliError;
use crate::handle::{self, End};
use crate::output::Output;
use crate::run::aws_call_log::Socket;
use crate::run::child::{Ended, Step, StepContext};
use crate::run::observer::Observer;
use crate::run::output::{StepOutput, StreamMode};
use crate::run::parent::Parent;
use crate::run::redaction::Redaction;
use crate::run::supervise::{run_to_end, warn_of_abandoned};
use crate::settings;
use crate::step_env::StepEnv;

/// The `ttl` of the request where the command line has none.
const TTL_SECONDS: u32 = 15 * 60;

/// Starts the command at once: only a token that is at hand is read before, so that the command does not find its file.
/// All else is read, sent and waited for while the command runs.
pub(super) async fn run_observed(
    args: &RunArgs,
    parent: Parent,
    env: &Env,
    output: &Output,
) -> Result<Finish, CliError> {
    let ttl = match args.ttl {
        Some(ttl) => ttl,
        None => Ttl::from_secs(TTL_SECONDS).map_err(|error| CliError::unexpected(error.to_string()))?,
    };
    let mut signals = super::take_signals(&args.step, parent, env)?;
    let settings = auth_token_is_at_hand(env).then(|| settings::for_agent(env));
    let socket = Socket::for_observed_step(&args.step, env, output);
    let mut step = match Step::start(&args.step.command, &context(&step_env(env, socket.as_ref()), env)) {
        Ok(step) => step,
        Err(error) => {
            write_end(args, end_of_not_started(&error));
            return without_step(&error, output);
        }
    };
    let calls = socket.map(Socket::count);
    let observer = Observer::start(&args.request, ttl, env, settings, calls, output);
    let ended = run_to_end(&mut step, &mut signals).await.map_err(|error| {
        CliError::unexpected(format!("the end of the command cannot be waited for: {error}"))
    })?;
    if ended == Ended::Abandoned {
        warn_of_abandoned("it goes on", output);
    }
    observer.step_ended().await;
    write_end(args, End { exit_code: ended.code(), revoked: true, problem: None });
    let typed_interrupt = ended == Ended::Killed(SIGINT) && signals.interrupt_was_typed();
    Ok(Finish { code: ended.code(), typed_interrupt })
}

/// Nothing is added but the variables of the call log. The broker's own tokens are removed: the command works without
/// them today.
fn step_env(env: &Env, socket: Option<&Socket>) -> StepEnv {
    StepEnv {
        open: socket.into_iter().flat_map(Socket::variables).collect(),
        removed: scrubbed_for_observed_child(env),
        ..StepEnv::default()
    }
}

/// The command inherits the output: there is no secret of a grant to remove from it.
fn context<'a>(step_env: &'a StepEnv, env: &'a Env) -> StepContext<'a> {
    #[cfg(not(unix))]
    let _ = env;
    StepContext {
        step_env,
        #[cfg(unix)]
        path: env.get("PATH"),
        output: StepOutput {
            stdout: StreamMode::Inherited,
            stderr: StreamMode::Inherited,
            redaction: Arc::new(Redaction::new(Vec::new())),
        },
    }
}

/// For a wrapper that reads the outcome, and for a later `revoke --state`: no grant was requested.
fn write_end(args: &RunArgs, end: End) {
    if let Some(state) = &args.state {
        handle::write_not_sent(state, end);
    }
}
