//! `break-glass -- COMMAND`: a step as under `run`, with a grant that a person takes in an emergency.

use std::fs;

use jit_client::identity::{Files, claimed};
use jit_client::{Elevation, Env, Settings, agent_id, broker_url};
use protocol::break_glass::{BreakGlassCode, BreakGlassRequest};
use protocol::{AgentId, Secret};

use super::super::block_on;
use super::{Finish, run_step, take_signals};
use crate::args::TakeArgs;
use crate::elevation::Patience;
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::run::parent::Parent;
use crate::run::pending::Pending;
use crate::session;

/// Returns the code to exit with. Every error is from before the command was started.
pub(crate) fn break_glass(
    args: &TakeArgs,
    parent: Parent,
    env: &Env,
    output: &mut Output,
) -> Result<u8, CliError> {
    // Asked before signals are taken: Ctrl-C on the question ends the program.
    let (settings, agent) = settings(args, env)?;
    block_on(take(args, settings, agent, parent, env, output))?.exit()
}

async fn take(
    args: &TakeArgs,
    settings: Settings,
    agent: AgentId,
    parent: Parent,
    env: &Env,
    output: &Output,
) -> Result<Finish, CliError> {
    let mut signals = take_signals(&args.step, parent, env)?;
    let incident = args.incident.clone().unwrap_or_default();
    let request = BreakGlassRequest {
        agent_id: agent,
        policies: args.policies.clone(),
        ttl: args.ttl,
        target: args.target.clone(),
        incident: incident.clone(),
        reason: args.reason.clone().unwrap_or_default(),
        claimed: claimed(env, &Files::system()),
    };
    let key = jit_client::new_key()?;
    let elevation = Elevation::break_glass(request, key);
    let pending = Pending::new(settings, elevation, args.ttl, None, env)?;
    let text = format!("{incident} · this is recorded, told to every channel, and to be reviewed");
    output.line(Mark::Warning, "break-glass", &text);
    let patience = Patience { answer: args.timeout, approval: args.timeout };
    run_step(&args.step, patience, env, output, &mut signals, pending).await
}

/// With the session or the code as the bearer, and the agent.
fn settings(args: &TakeArgs, env: &Env) -> Result<(Settings, AgentId), CliError> {
    let agent = match &args.agent {
        Some(agent) => agent.clone(),
        None => agent_id(env)?,
    };
    let settings = match code(args)? {
        Some(code) => session::with(broker_url(env)?.into(), code, env),
        None => session::settings(env)?.ok_or_else(|| {
            CliError::usage("there is no session with this broker, and no sealed code is given").with_hint(
                "run `cloudanix-jit login --fresh`; while the provider is down, use a sealed code (`--code`)",
            )
        })?,
    };
    Ok((Settings { break_glass_of: Some(agent.clone()), ..settings }, agent))
}

fn code(args: &TakeArgs) -> Result<Option<Secret>, CliError> {
    let text = match (&args.code_file, args.code) {
        (Some(path), _) => fs::read_to_string(path).map(Secret::new).map_err(|error| {
            CliError::usage(format!("the code cannot be read from `{}`: {error}", path.display()))
        })?,
        (None, true) => {
            rpassword::prompt_password("break-glass code: ").map(Secret::new).map_err(|error| {
                CliError::usage(format!("the code cannot be asked for: {error}"))
                    .with_hint("without a terminal, `--code-file FILE` reads it from a file")
            })?
        }
        (None, false) => return Ok(None),
    };
    let code = BreakGlassCode::parse(text.reveal()).map_err(|error| CliError::usage(error.to_string()))?;
    Ok(Some(code.secret().clone()))
}
