//! `run`: one command with a grant that begins before it and ends with it, or without a grant and observed.

mod break_glass;
mod observed;

use jit_client::{ActiveGrant, Env, Revoked};
use protocol::{Grant, GrantStatus, RevokeCause};

pub(crate) use self::break_glass::break_glass;
use self::observed::run_observed;
use super::block_on;
use crate::args::{RunArgs, StepArgs};
use crate::elevation::Patience;
use crate::error::CliError;
use crate::exit::Exit;
use crate::handle::{self, End, Problem};
use crate::output::{Mark, Output};
use crate::run::child::{Ended, NotStarted};
use crate::run::parent::Parent;
use crate::run::pending::Pending;
use crate::run::signals::{self, Signals};
use crate::run::start::{StartError, Started, start};
use crate::run::supervise::{Finished, or_interrupted, revoke, supervise};

const SIGINT: i32 = 2;

/// Returns the code to exit with. Every error is from before the command was started.
pub(crate) fn run(args: RunArgs, parent: Parent, env: &Env, output: &mut Output) -> Result<u8, CliError> {
    let finish = block_on(async {
        if args.observe {
            run_observed(&args, parent, env, output).await
        } else {
            run_with_grant(&args, parent, env, output).await
        }
    })?;
    finish.exit()
}

struct Finish {
    code: i32,
    /// The step died of a Ctrl-C that was typed.
    typed_interrupt: bool,
}

impl Finish {
    fn with(code: i32) -> Self {
        Self { code, typed_interrupt: false }
    }

    fn exit(self) -> Result<u8, CliError> {
        if self.typed_interrupt {
            signals::die_of_interrupt();
        }
        self.exit_code()
    }

    #[cfg(unix)]
    fn exit_code(self) -> Result<u8, CliError> {
        u8::try_from(self.code).map_err(|_| {
            CliError::unexpected(format!("the step's exit code is `{}`: expected 0 to 255", self.code))
        })
    }

    /// Codes have 32 bits there.
    #[cfg(windows)]
    fn exit_code(self) -> Result<u8, CliError> {
        std::process::exit(self.code)
    }
}

async fn run_with_grant(
    args: &RunArgs,
    parent: Parent,
    env: &Env,
    output: &Output,
) -> Result<Finish, CliError> {
    let (mut signals, pending) = prepare(args, parent, env).inspect_err(|error| {
        if let Some(state) = &args.state {
            handle::write_not_sent(state, End { revoked: true, ..End::not_started(error) });
        }
    })?;
    run_step(&args.step, Patience::from(&args.request), env, output, &mut signals, pending).await
}

/// Elevates, runs the command, and revokes.
async fn run_step(
    args: &StepArgs,
    patience: Patience,
    env: &Env,
    output: &Output,
    signals: &mut Signals,
    mut pending: Pending,
) -> Result<Finish, CliError> {
    let granted = tokio::select! {
        biased;
        signal = signals.next_that_asks_to_end() => Err(signal),
        granted = pending.elevate(patience, output) => Ok(granted),
    };
    match granted {
        Ok(Ok(grant)) => step(args, env, output, signals, pending, grant).await,
        Ok(Err(error)) => {
            pending.abandon(&error, RevokeCause::NotStarted, End::not_started(&error), output).await;
            Err(error)
        }
        Err(received) => {
            let cause = received.cause();
            let text = format!("{}, before the command was started", cause.in_words());
            let end = End {
                exit_code: 128 + received.signal,
                revoked: false,
                problem: Some(Problem { message: format!("stopped: {text}"), hint: None, code: None }),
            };
            pending.abandon(&CliError::Interrupted, cause, end, output).await;
            output.line(Mark::Failed, "stopped", &text);
            Ok(Finish::with(128 + received.signal))
        }
    }
}

/// Takes the signals first: from then on a stop by the platform leaves nothing half done.
fn prepare(args: &RunArgs, parent: Parent, env: &Env) -> Result<(Signals, Pending), CliError> {
    let signals = take_signals(&args.step, parent, env)?;
    let ttl = args.ttl.ok_or_else(|| CliError::usage("`--ttl`: expected a duration, found none"))?;
    Ok((signals, Pending::prepare(&args.request, ttl, args.state.as_deref(), env)?))
}

fn take_signals(args: &StepArgs, parent: Parent, env: &Env) -> Result<Signals, CliError> {
    let parent = parent.watch(args.die_with_parent, env)?;
    Signals::take(parent).map_err(|error| CliError::unexpected(format!("signals cannot be taken: {error}")))
}

/// Starts the step, supervises it, and reports the end of its grant.
async fn step(
    args: &StepArgs,
    env: &Env,
    output: &Output,
    signals: &mut Signals,
    mut pending: Pending,
    grant: Grant,
) -> Result<Finish, CliError> {
    let Pending { client, instructions, keeper, handle, .. } = &mut pending;
    let active = ActiveGrant::new(client.clone(), &grant, instructions.key.clone());
    keeper.granted().await;
    let started = match handle.granted_to_caller(&grant) {
        Ok(()) => start(args, env, output, &grant, &active, &instructions.settings.bearer),
        Err(error) => Err(StartError::Unsafe(error)),
    };
    let Started { mut step, services } = match started {
        Ok(started) => started,
        Err(failed) => {
            let cause = RevokeCause::NotStarted;
            let revoked = or_interrupted(revoke(&active, cause), signals).await;
            ended(pending, output, cause, revoked, end_of(&failed)).await;
            return match failed {
                StartError::NotStarted(error) => without_step(&error, output),
                StartError::Unsafe(error) => Err(error),
            };
        }
    };
    match supervise(&active, &mut step, services, keeper, signals, output).await {
        Ok(Finished { ended: how, cause, revoked }) => {
            let end = End { exit_code: how.code(), revoked: false, problem: None };
            ended(pending, output, cause, revoked, end).await;
            let typed_interrupt = how == Ended::Killed(SIGINT) && signals.interrupt_was_typed();
            Ok(Finish { code: how.code(), typed_interrupt })
        }
        Err(error) => {
            let cause = RevokeCause::Asked;
            let revoked = or_interrupted(revoke(&active, cause), signals).await;
            let end = End { exit_code: i32::from(Exit::NotStarted.code()), revoked: false, problem: None };
            ended(pending, output, cause, revoked, end).await;
            Err(CliError::unexpected(format!("the end of the command cannot be waited for: {error}")))
        }
    }
}

fn end_of(failed: &StartError) -> End {
    match failed {
        StartError::NotStarted(error) => End { revoked: false, ..end_of_not_started(error) },
        StartError::Unsafe(error) => End::not_started(error),
    }
}

/// The outcome of a command that could not be started, where no grant is live.
fn end_of_not_started(error: &NotStarted) -> End {
    End {
        exit_code: i32::from(error.exit().code()),
        revoked: true,
        problem: Some(Problem {
            message: error.to_string(),
            hint: Some(error.hint().to_owned()),
            code: None,
        }),
    }
}

fn without_step(error: &NotStarted, output: &Output) -> Result<Finish, CliError> {
    output.line(Mark::Failed, "run", &error.to_string());
    output.hint(error.hint());
    Ok(Finish::with(i32::from(error.exit().code())))
}

/// Prints the outcome of the revoke. A revoke that failed is left to the keeper, and changes no exit code.
async fn ended(
    pending: Pending,
    output: &Output,
    cause: RevokeCause,
    revoked: Result<Revoked, CliError>,
    end: End,
) {
    let why = cause.in_words();
    match revoked {
        Ok(revoked) => {
            let end = End { revoked: revoked.is_confirmed(), ..end };
            let (mark, text) = match revoked {
                Revoked::Gone(_) => (Mark::Done, why),
                // The access is removed; the target is read back some seconds later.
                Revoked::Accepted(grant) if grant.status == GrantStatus::Verifying => {
                    (Mark::Done, format!("{why} · access removed, the broker is verifying it"))
                }
                Revoked::Accepted(_) => {
                    (Mark::Waiting, format!("{why} · accepted, the broker is finishing it"))
                }
                Revoked::NotFound => (Mark::Done, format!("{why} · was gone already")),
            };
            output.line(mark, "revoke", &text);
            pending.finish(end, output).await;
        }
        Err(error) => {
            output.line(Mark::Warning, "revoke", &format!("{why} · not confirmed yet: {error}"));
            output.hint(match pending.leave_to_keeper(cause, end, output).await {
                true => "a keeper process goes on trying; the broker ends the grant without heartbeats in any case",
                false => "the broker ends the grant because its heartbeats stop, or at its deadline",
            });
        }
    }
}
