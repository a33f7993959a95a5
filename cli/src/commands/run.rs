//! How does one command run with a grant that begins before it and ends with it?

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::Duration;

use protocol::{Credentials, Grant, IdempotencyKey, RevokeCause, Secret};
use tokio::time::Instant;

use crate::api::{Broker, ElevateLimits, Notice, Patience, Revocable, Revoked, Settings};
use crate::args::{Redact, RunArgs};
use crate::commands::block_on;
use crate::environment::Env;
use crate::error::CliError;
use crate::handle::{self, Handle};
use crate::mask::Masking;
use crate::output::{Mark, Output};
use crate::redact::Redactor;
use crate::run::child::{Ended, NotStarted, Step, Surroundings};
use crate::run::keeper::{Instructions, Keeper};
use crate::run::output::{Passage, StepOutput};
use crate::run::request::{Heartbeat, Requests};
use crate::run::signals::{self, Signals};
use crate::run::watch::{Held, Over, or_cut_short};

/// What platforms leave us before they kill, less the time it takes to get here.
const UNDONE_WITHIN: Duration = Duration::from_secs(6);
const SIGINT: i32 = 2;

/// Returns the code to exit with. Every error is from before the command was started.
pub(crate) fn run(args: RunArgs, env: &Env, output: &mut Output) -> Result<u8, CliError> {
    let finish = block_on(whole(&args, env, output))?;
    if finish.typed_interrupt {
        signals::die_of_interrupt();
    }
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

    #[cfg(unix)]
    fn exit(self) -> Result<u8, CliError> {
        u8::try_from(self.code).map_err(|_| {
            CliError::unexpected(format!("the step's exit code is `{}`: expected 0 to 255", self.code))
        })
    }

    /// Codes have 32 bits there.
    #[cfg(windows)]
    fn exit(self) -> Result<u8, CliError> {
        std::process::exit(self.code)
    }
}

async fn whole(args: &RunArgs, env: &Env, output: &Output) -> Result<Finish, CliError> {
    let mut signals =
        Signals::take().map_err(|error| CliError::unexpected(format!("signals cannot be taken: {error}")))?;
    let asking = Asking::prepare(args, env).await?;
    let granted = tokio::select! {
        biased;
        signal = first_that_ends(&mut signals) => Err(signal),
        granted = asking.elevate(args, output) => Ok(granted),
    };
    let grant = match granted {
        Ok(Ok(grant)) => grant,
        Ok(Err(error)) if error.may_have_granted() => {
            asking.undo(RevokeCause::NotStarted).await;
            return Err(error);
        }
        Ok(Err(error)) => {
            asking.refused().await;
            return Err(error);
        }
        Err(signal) => {
            asking.undo(RevokeCause::Interrupted(signal)).await;
            output.line(
                Mark::Failed,
                "stopped",
                &format!("by signal {signal}, before the command was started"),
            );
            return Ok(Finish::with(128 + signal));
        }
    };
    asking.step(args, env, output, &mut signals, grant).await
}

async fn first_that_ends(signals: &mut Signals) -> i32 {
    loop {
        let received = signals.next().await;
        if received.asks_to_end() {
            return received.signal;
        }
    }
}

/// A grant that is being asked for, with all that gives it back if we fail.
struct Asking {
    broker: Broker,
    requests: Requests,
    key: IdempotencyKey,
    handle: Handle,
    keeper: Keeper,
    bearer: Secret,
    /// Whether something has gone to the broker.
    asked: Cell<Asked>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    NotYet,
    MayHave,
}

impl Asking {
    /// Everything that has to be there before the first byte goes to the broker.
    async fn prepare(args: &RunArgs, env: &Env) -> Result<Self, CliError> {
        let settings = Settings::for_agent(env)?;
        let requests = Requests::new(&args.ask, env, Heartbeat::Promised)?;
        let key = handle::new_key()?;
        let instructions = Instructions { settings, key, ttl: args.ask.ttl };
        let no_keeper = |error| {
            CliError::unexpected(format!("the keeper process cannot be started: {error}")).with_hint(
                "it gives the grant back if this process is killed; is the number of processes or the memory limited?",
            )
        };
        let mut keeper = Keeper::start(&instructions).await.map_err(no_keeper)?;
        let Instructions { settings, key, ttl: _ } = instructions;
        // While the keeper starts.
        let broker = Broker::new(&settings)?;
        let handle = Handle::create(None, env, &settings.url, requests.agent_id(), &key)?;
        if let Err(error) = keeper.ready().await {
            handle.forget();
            return Err(no_keeper(error));
        }
        Ok(Self {
            broker,
            requests,
            key,
            handle,
            keeper,
            bearer: settings.bearer,
            asked: Cell::new(Asked::NotYet),
        })
    }

    async fn elevate(&self, args: &RunArgs, output: &Output) -> Result<Grant, CliError> {
        let limits = ElevateLimits { answer: args.ask.timeout, approval: args.ask.wait };
        let make_request = async || {
            let request = self.requests.make(self.broker.http()).await?;
            self.asked.set(Asked::MayHave);
            Ok(request)
        };
        self.broker.elevate(&self.key, make_request, limits, |notice| tell(&notice, output)).await
    }

    /// There will be no step: what may have been given is given back, by the keeper if need be.
    async fn undo(self, cause: RevokeCause) {
        if self.asked.get() == Asked::MayHave {
            let patience = Patience::within(UNDONE_WITHIN);
            let revoked = self.broker.revoke(Revocable::Key(&self.key), cause, patience).await;
            match revoked {
                Ok(Revoked::Gone(_) | Revoked::Accepted(_)) => {}
                // "Unknown" may mean that our request is still on its way: the keeper looks again.
                Ok(Revoked::NothingThere) | Err(_) => {
                    self.keeper.take_over(cause).await;
                    return;
                }
            }
        }
        self.handle.forget();
        self.keeper.dismiss().await;
    }

    /// Nothing was given, and nothing will be.
    async fn refused(self) {
        self.handle.forget();
        self.keeper.dismiss().await;
    }

    /// From the grant to its end.
    async fn step(
        mut self,
        args: &RunArgs,
        env: &Env,
        output: &Output,
        signals: &mut Signals,
        grant: Grant,
    ) -> Result<Finish, CliError> {
        let since = Instant::now();
        self.keeper.granted().await;
        let policies: Vec<&str> = grant.policies.iter().map(|policy| policy.as_str()).collect();
        output.line(
            Mark::Done,
            "elevate",
            &format!("policy attached · {} · {} · {}", policies.join(", "), grant.ttl, grant.id),
        );
        let held = Held { broker: &self.broker, grant: &grant, key: &self.key, since };
        let mut step = match start(args, env, output, &grant, &self.bearer) {
            Ok(step) => step,
            Err(error) => {
                let cause = RevokeCause::NotStarted;
                let revoked = or_cut_short(held.give_back(cause), signals).await;
                self.ended(output, cause, revoked).await;
                return error.finish(output);
            }
        };
        match held.watch(&mut step, signals, output).await {
            Ok(Over { ended, cause, revoked }) => {
                self.ended(output, cause, revoked).await;
                let typed_interrupt = ended == Ended::Killed(SIGINT) && signals.interrupt_was_typed();
                Ok(Finish { code: ended.code(), typed_interrupt })
            }
            Err(error) => {
                let cause = RevokeCause::Asked;
                let revoked = or_cut_short(held.give_back(cause), signals).await;
                self.ended(output, cause, revoked).await;
                Err(CliError::unexpected(format!("the end of the command cannot be waited for: {error}")))
            }
        }
    }

    /// Says how it ended; a revoke that failed is the keeper's from here on, and changes no exit code.
    async fn ended(self, output: &Output, cause: RevokeCause, revoked: Result<Revoked, CliError>) {
        let why = cause.in_words();
        match revoked {
            Ok(revoked) => {
                match revoked {
                    Revoked::Gone(_) => output.line(Mark::Done, "revoke", &why),
                    Revoked::Accepted(_) => {
                        output.line(
                            Mark::Waiting,
                            "revoke",
                            &format!("{why} · accepted, the broker is finishing it"),
                        );
                    }
                    Revoked::NothingThere => {
                        output.line(Mark::Done, "revoke", &format!("{why} · was gone already"))
                    }
                }
                self.refused().await;
            }
            Err(error) => {
                output.line(Mark::Warning, "revoke", &format!("{why} · not confirmed yet: {error}"));
                output.hint(match self.keeper.take_over(cause).await {
                    true => "a keeper process goes on trying; the broker ends the grant without heartbeats in any case",
                    false => "the broker ends the grant because its heartbeats stop, or at its deadline",
                });
            }
        }
    }
}

fn tell(notice: &Notice<'_>, output: &Output) {
    match notice {
        Notice::Retrying { why, pause } => {
            output.line(Mark::Waiting, "retry", &format!("{why} · again in {} ms", pause.as_millis()));
        }
        Notice::WaitingForApproval(grant) => {
            output.line(Mark::Waiting, "approval", &format!("{} waits for a person's yes", grant.id));
        }
    }
}

/// A step that did not come to be.
enum Failed {
    /// It could not be started.
    NotStarted(NotStarted),
    /// We would not start it.
    Unsafe(CliError),
}

impl Failed {
    fn finish(self, output: &Output) -> Result<Finish, CliError> {
        match self {
            Self::NotStarted(error) => {
                output.line(Mark::Failed, "run", &error.to_string());
                output.hint(error.hint());
                Ok(Finish::with(i32::from(error.exit().code())))
            }
            Self::Unsafe(error) => Err(error),
        }
    }
}

/// Starts the command with the credentials in its own environment, once nothing can print them.
fn start(args: &RunArgs, env: &Env, output: &Output, grant: &Grant, bearer: &Secret) -> Result<Step, Failed> {
    let mut set = vec![("CLOUDANIX_GRANT_ID", Secret::new(grant.id.as_str()))];
    let mut secrets = vec![bearer.clone()];
    match &grant.credentials {
        Some(Credentials::Token { token }) => {
            set.push(("CLOUDANIX_GRANT_TOKEN", token.clone()));
            secrets.push(token.clone());
        }
        None => {}
    }
    let masking = Masking::of(env);
    masking.register(&secrets.iter().collect::<Vec<_>>(), output).map_err(Failed::Unsafe)?;
    let passage = |is_terminal| match args.redact {
        Redact::Always => Passage::Redacted,
        Redact::Never => Passage::Untouched,
        Redact::Auto if is_terminal || masking != Masking::Nowhere => Passage::Untouched,
        Redact::Auto => Passage::Redacted,
    };
    let surroundings = Surroundings {
        set,
        removed: env.scrubbed_for_child(),
        output: StepOutput {
            stdout: passage(std::io::stdout().is_terminal()),
            stderr: passage(std::io::stderr().is_terminal()),
            redactor: Redactor::new(&secrets),
        },
    };
    Step::start(&args.command, surroundings).map_err(Failed::NotStarted)
}
