//! Supervision of a step: signals, heartbeats, its end, and the revoke of its grant.

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use jit_client::{ActiveGrant, LeaseEnd, Revoked};
use protocol::RevokeCause;
use tokio::time::{Instant, sleep_until, timeout};

use super::child::{Ended, Step};
use super::keeper::Keeper;
use super::signals::{Received, Signals};
use super::step_services::StepServices;
use crate::error::CliError;
use crate::output::{Mark, Output};

/// The strictest platform kills ten seconds after its first signal; after this long the keeper continues the revoke.
const REVOKE_WITHIN: Duration = Duration::from_secs(6);

/// The time between the strictest platform's first signal and its SIGKILL. Without a parent the client then exits, so that
/// a platform which waits for its output pipe does not wait for a command that ignores signals.
const ABANDON_AFTER: Duration = Duration::from_secs(10);

/// A signal to a process group reaches all of it within this time.
const SAME_SIGNAL: Duration = Duration::from_millis(20);

/// A reachable broker confirms in far less.
const GRACE: Duration = Duration::from_secs(1);

/// A step that has ended.
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) ended: Ended,
    /// Why the grant was revoked.
    pub(crate) cause: RevokeCause,
    /// The outcome of the revoke.
    pub(crate) revoked: Result<Revoked, CliError>,
}

/// Revokes, for at most six seconds.
pub(crate) async fn revoke(grant: &ActiveGrant, cause: RevokeCause) -> Result<Revoked, CliError> {
    Ok(grant.revoke(cause, REVOKE_WITHIN).await?)
}

/// Runs the step to its end.
///
/// Forwards a signal that requests the end, and revokes the grant at the same time; without one, revokes the grant the
/// moment the step has ended. If the step ignores the signal and the revoke fails, the keeper revokes at once. The end
/// of the parent process counts as SIGTERM; a step that ignores that is left running.
pub(crate) async fn supervise(
    grant: &ActiveGrant,
    step: &mut Step,
    services: StepServices,
    keeper: &mut Keeper,
    signals: &mut Signals,
    output: &Output,
) -> io::Result<Finished> {
    let mut lease_end = pin!(grant.keep_alive());
    let mut stops = pin!(Step::follow_stops(step.job()));
    let mut needs_grant = true;
    let mut interrupted = None;
    let mut abandon_at = None;
    let mut under_way: Option<Pin<Box<_>>> = None;
    let mut revoked = None;
    let ended = loop {
        let answer = async {
            match under_way.as_mut() {
                Some(answer) => answer.await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = step.ended() => break ended?,
            received = signals.next() => {
                if step.decides_on(received) {
                    continue;
                }
                step.forward(received);
                if received.is_parents_end() {
                    abandon_at = Some(Instant::now() + ABANDON_AFTER);
                }
                if received.asks_to_end() && interrupted.is_none() {
                    let cause = received.cause();
                    interrupted = Some(cause);
                    needs_grant = false;
                    under_way = Some(Box::pin(revoke(grant, cause)));
                }
            }
            answer = answer => {
                under_way = None;
                if let (Err(_), Some(cause)) = (&answer, interrupted) {
                    keeper.transfer(cause).await;
                }
                revoked = Some(answer);
            }
            end = &mut lease_end, if needs_grant => {
                needs_grant = false;
                services.grant_ended(&end);
                warn_of(&end, output);
            }
            () = at(abandon_at) => break Ended::Abandoned,
            () = &mut stops => {}
        }
    };
    if ended == Ended::Abandoned {
        warn_of_abandoned("it goes on without the grant", output);
    }
    let closing = services.step_ended();
    let interrupted = match interrupted {
        Some(cause) => Some(cause),
        None => stop_of_the_group(ended, step, signals).await,
    };
    let cause = interrupted.unwrap_or(ended.cause());
    let revoked = match (revoked, under_way) {
        (Some(Ok(revoked)), _) => Ok(revoked),
        (_, Some(under_way)) => or_interrupted(under_way, signals).await,
        // The keeper revokes already: this attempt is for the message only.
        (Some(Err(_)), None) => grant.revoke(cause, GRACE).await.map_err(CliError::from),
        (None, None) => or_interrupted(revoke(grant, cause), signals).await,
    };
    let last_report = async {
        if let Some(closing) = closing {
            closing.closed().await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(step.drain(), last_report) } => {}
        // Also when the output goes to a pipe that is full and that no one reads.
        () = at(abandon_at) => {}
    }
    Ok(Finished { ended, cause, revoked })
}

/// Runs a step without a grant to its end. Signals and the end of the parent process act as in [`supervise`].
pub(crate) async fn run_to_end(step: &mut Step, signals: &mut Signals) -> io::Result<Ended> {
    let mut stops = pin!(Step::follow_stops(step.job()));
    let mut abandon_at = None;
    loop {
        tokio::select! {
            biased;
            ended = step.ended() => return ended,
            received = signals.next() => {
                if step.decides_on(received) {
                    continue;
                }
                step.forward(received);
                if received.is_parents_end() {
                    abandon_at = Some(Instant::now() + ABANDON_AFTER);
                }
            }
            () = at(abandon_at) => return Ok(Ended::Abandoned),
            () = &mut stops => {}
        }
    }
}

pub(crate) fn warn_of_abandoned(then: &str, output: &Output) {
    let seconds = ABANDON_AFTER.as_secs();
    output.line(Mark::Warning, "run", &format!("the command did not end within {seconds}s · {then}"));
}

/// Why the grant is revoked when a signal to the whole process group has ended the step before the client has taken
/// its own.
async fn stop_of_the_group(ended: Ended, step: &Step, signals: &mut Signals) -> Option<RevokeCause> {
    let Ended::Killed(signal) = ended else { return None };
    let own = async {
        loop {
            let received = signals.next_that_asks_to_end().await;
            if received.signal == signal && !step.decides_on(received) {
                return received.cause();
            }
        }
    };
    timeout(SAME_SIGNAL, own).await.ok()
}

/// Completes at `time`; never if there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

impl Signals {
    /// The next signal that requests the end. Cancel-safe.
    pub(crate) async fn next_that_asks_to_end(&mut self) -> Received {
        loop {
            let received = self.next().await;
            if received.asks_to_end() {
                return received;
            }
        }
    }
}

/// Waits for the response to a revoke after the end of the step; a signal that requests the end hands it to the keeper.
///
/// Not at once: the signal that ended the step may have been sent to this process too, and arrive a moment later.
pub(crate) async fn or_interrupted(
    answer: impl Future<Output = Result<Revoked, CliError>>,
    signals: &mut Signals,
) -> Result<Revoked, CliError> {
    let not_before = Instant::now() + GRACE;
    let asked_to_end = async {
        signals.next_that_asks_to_end().await;
        sleep_until(not_before).await;
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        () = asked_to_end => Err(CliError::Interrupted),
    }
}

fn warn_of(end: &LeaseEnd, output: &Output) {
    let what = match end {
        LeaseEnd::Ended(why) => format!("the grant has ended · {why} · the step goes on without it"),
        LeaseEnd::Deadline => "the grant has reached its deadline · the step goes on without it".to_owned(),
    };
    output.line(Mark::Warning, "lapsed", &what);
}
