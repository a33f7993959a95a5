//! What happens between the start of a step and the moment when its grant is given back?

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use protocol::{Grant, IdempotencyKey, RevokeCause};
use tokio::time::{Instant, sleep_until, timeout};

use super::beside::Beside;
use super::child::{Ended, Step};
use super::keeper::Keeper;
use super::lease::{self, Lapse};
use super::signals::{Received, Signals};
use crate::api::{Broker, Patience, Revocable, Revoked};
use crate::error::CliError;
use crate::output::{Mark, Output};

/// The tightest platform kills ten seconds after its first signal; after this long the keeper takes over.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(6);

/// As long as the tightest platform leaves a command between its first signal and SIGKILL. Without a parent the
/// client then ends, so that a platform which waits for its output pipe does not wait for a deaf command through us.
const LEFT_AFTER: Duration = Duration::from_secs(10);

/// A signal to a process group reaches all of it within this time.
const SAME_SIGNAL: Duration = Duration::from_millis(20);

/// A broker that is there confirms in far less.
const GRACE: Duration = Duration::from_secs(1);

/// The grant of a step.
pub(crate) struct Held<'a> {
    /// Who gave it.
    pub(crate) broker: &'a Broker,
    /// What was given.
    pub(crate) grant: &'a Grant,
    /// Which run holds it.
    pub(crate) key: &'a IdempotencyKey,
    /// When.
    pub(crate) since: Instant,
}

/// A step that is over.
pub(crate) struct Over {
    /// How it ended.
    pub(crate) ended: Ended,
    /// Why the grant was given back.
    pub(crate) cause: RevokeCause,
    /// Whether it was.
    pub(crate) revoked: Result<Revoked, CliError>,
}

impl Held<'_> {
    /// Gives back, for at most six seconds.
    pub(crate) async fn give_back(&self, cause: RevokeCause) -> Result<Revoked, CliError> {
        self.give_back_within(CONFIRMED_WITHIN, cause).await
    }

    async fn give_back_within(&self, time: Duration, cause: RevokeCause) -> Result<Revoked, CliError> {
        self.broker.revoke(Revocable::Id(&self.grant.id), cause, Patience::within(time)).await
    }

    /// Runs the step to its end. A signal that asks for the end is passed on and the grant given back at the
    /// same time; else it is given back the moment the step has ended. What cannot be given back while a
    /// step ignores the signal becomes the keeper's at once. The end of our parent counts as SIGTERM; a step that
    /// ignores that is left to itself.
    pub(crate) async fn watch(
        &self,
        step: &mut Step,
        beside: Beside,
        keeper: &mut Keeper,
        signals: &mut Signals,
        output: &Output,
    ) -> io::Result<Over> {
        let mut lapse = pin!(lease::lapse(self.broker, self.grant, self.key, self.since));
        let mut stops = pin!(Step::follow_stops(step.job()));
        let mut holding = true;
        let mut interrupted = None;
        let mut leave_at = None;
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
                    step.tell(received);
                    if received.is_parents_end() {
                        leave_at = Some(Instant::now() + LEFT_AFTER);
                    }
                    if received.asks_to_end() && interrupted.is_none() {
                        let cause = received.cause();
                        interrupted = Some(cause);
                        holding = false;
                        under_way = Some(Box::pin(self.give_back(cause)));
                    }
                }
                answer = answer => {
                    under_way = None;
                    if let (Err(_), Some(cause)) = (&answer, interrupted) {
                        keeper.hand_over(cause).await;
                    }
                    revoked = Some(answer);
                }
                lapsed = &mut lapse, if holding => {
                    holding = false;
                    beside.lapsed(&lapsed);
                    warn_of(&lapsed, output);
                }
                () = at(leave_at) => break Ended::Left,
                () = &mut stops => {}
            }
        };
        if ended == Ended::Left {
            let text = format!(
                "the command did not end within {}s · it goes on without the grant",
                LEFT_AFTER.as_secs()
            );
            output.line(Mark::Warning, "run", &text);
        }
        let ending = beside.step_ended();
        let interrupted = match interrupted {
            Some(cause) => Some(cause),
            None => stop_of_the_group(ended, step, signals).await,
        };
        let cause = interrupted.unwrap_or(ended.cause());
        let revoked = match (revoked, under_way) {
            (Some(Ok(revoked)), _) => Ok(revoked),
            (_, Some(under_way)) => or_cut_short(under_way, signals).await,
            // The keeper tries already: only to be able to say how it stands.
            (Some(Err(_)), None) => self.give_back_within(GRACE, cause).await,
            (None, None) => or_cut_short(self.give_back(cause), signals).await,
        };
        let told = async {
            if let Some(ending) = ending {
                ending.closed().await;
            }
        };
        tokio::select! {
            _ = async { tokio::join!(step.drain(), told) } => {}
            // Also when the output goes to a pipe that is full and that no one reads.
            () = at(leave_at) => {}
        }
        Ok(Over { ended, cause, revoked })
    }
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

/// Never, if there is no such time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

impl Signals {
    /// The next one that wants us to end. Safe to be dropped while it waits.
    pub(crate) async fn next_that_asks_to_end(&mut self) -> Received {
        loop {
            let received = self.next().await;
            if received.asks_to_end() {
                return received;
            }
        }
    }
}

/// The step is over: a signal now means us, and when the revoke takes its time we leave it to the keeper. Not
/// at once: what ended the step may have been sent to us as well, and arrive a moment later.
pub(crate) async fn or_cut_short(
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

fn warn_of(lapse: &Lapse, output: &Output) {
    let what = match lapse {
        Lapse::Ended(why) => format!("the grant has ended · {why} · the step goes on without it"),
        Lapse::Deadline => "the grant has reached its deadline · the step goes on without it".to_owned(),
    };
    output.line(Mark::Warning, "lapsed", &what);
}
