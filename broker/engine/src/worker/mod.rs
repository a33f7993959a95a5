//! The worker claims due work from the store and drives it: deadlines, lost leases, unfinished grants.
//!
//! There are no timers in memory. A claim that ends makes its grant due again.

use std::sync::Arc;
use std::time::Duration;

use domain::{EndCause, State};
use store::{Due, GrantRecord, Precondition, SaveOutcome, StoreError};
use targets::claim::Claim;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::approvals::over;
use crate::lifecycle::{Goal, Outcome};
use crate::{Engine, Refusal};

mod housekeeping;
pub(crate) mod liveness;
mod notifications;
pub(crate) mod reconcile;
mod reevaluate;

/// Grants per claim.
const BATCH: u32 = 64;
/// Grants that are driven at once. The circuit breaker of an account keeps those short whose account does not answer.
const MAX_CONCURRENT: usize = 1024;
/// No heartbeat could be recorded while the database took this long to answer, or this process did not run.
const TOO_LONG: Duration = Duration::from_secs(1);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(30);

/// What a due grant needs.
enum Wanted<'g> {
    Drive(Goal<'g>),
    /// Rules, posture or its agent changed. With the mark of the change.
    DecideAgain(i64),
    /// It was taken by break-glass and has ended, and no other person reviewed it in time.
    TellOfMissingReview,
}

impl Engine {
    /// Claims a batch of due grants and drives them. Returns how many; a full batch means that more may be due.
    pub async fn drive_due(self: &Arc<Self>) -> Result<usize, Refusal> {
        let (claimed, claim) = self.claim_due().await?;
        let count = claimed.len();
        let mut work = JoinSet::new();
        for record in claimed {
            work.spawn(Arc::clone(self).drive_or_log(record, claim.clone()));
        }
        while work.join_next().await.is_some() {}
        Ok(count)
    }

    /// Works until [`Self::stop_worker`]. Dropping the future stops between two awaits; what was claimed is due again
    /// when its claim ends.
    pub async fn run_worker(self: Arc<Self>, every: Duration) {
        // In this order and not at random: the simulation replays a run step by step.
        tokio::select! {
            biased;
            () = Arc::clone(&self).drive_due_until_stopped(every) => {}
            () = Arc::clone(&self).reconcile_periodically() => {}
            () = self.notify_periodically(every) => {}
        }
    }

    /// Stops claiming. [`Self::run_worker`] returns when the claimed grants are driven.
    pub fn stop_worker(&self) {
        self.stopping.send_replace(true);
    }

    /// Claimed grants are not awaited before the next claim: a target that does not answer delays no other.
    async fn drive_due_until_stopped(self: Arc<Self>, every: Duration) {
        let liveness = self.worker_liveness.start();
        let mut stopping = self.stopping.subscribe();
        let mut next_housekeeping = self.clock.now();
        let mut in_progress = JoinSet::new();
        while !*stopping.borrow_and_update() {
            liveness.round();
            while in_progress.try_join_next().is_some() {}
            while in_progress.len() >= MAX_CONCURRENT {
                in_progress.join_next().await;
            }
            let more_due = match self.claim_due().await {
                Ok((claimed, claim)) => {
                    let more_due = claimed.len() >= BATCH as usize;
                    for record in claimed {
                        in_progress.spawn(Arc::clone(&self).drive_or_log(record, claim.clone()));
                    }
                    more_due
                }
                Err(error) => {
                    self.counters.worker_errors();
                    tracing::error!(%error, cause = error.cause.as_deref(), "cannot claim due work");
                    false
                }
            };
            if self.clock.now() >= next_housekeeping {
                next_housekeeping = self.clock.now().plus(HOUSEKEEPING_INTERVAL);
                if let Err(error) = self.housekeeping().await {
                    tracing::error!(%error, cause = error.cause.as_deref(), "housekeeping failed");
                }
            }
            if !more_due {
                let asleep = Instant::now();
                tokio::select! {
                    biased;
                    _ = stopping.changed() => {}
                    () = tokio::time::sleep(every) => {}
                }
                // The process or the machine was suspended.
                if asleep.elapsed() > every + TOO_LONG {
                    self.heartbeat_window.reset(self.clock.now());
                }
            }
        }
        while in_progress.join_next().await.is_some() {}
    }

    async fn claim_due(&self) -> Result<(Vec<GrantRecord>, Claim), Refusal> {
        let now = self.clock.now();
        let claimed_until = now.plus(self.settings.load().claim);
        let due = Due { now, ready_since: self.heartbeat_window.since(), claimed_until, limit: BATCH };
        let began = Instant::now();
        let claimed = self.store.claim_due(due).await;
        let unavailable = matches!(&claimed, Err(StoreError::Unavailable(_)));
        if unavailable || began.elapsed() > TOO_LONG {
            self.heartbeat_window.reset(self.clock.now());
        }
        Ok((claimed?, self.driver.claim_until(claimed_until)))
    }

    async fn drive_or_log(self: Arc<Self>, record: GrantRecord, claim: Claim) {
        let id = record.grant.id.clone();
        let driven = match self.goal_of(&record) {
            Wanted::Drive(goal) => self.driver.drive(record, goal, &claim).await,
            Wanted::DecideAgain(mark) => Box::pin(self.reevaluate(record, mark, &claim)).await,
            Wanted::TellOfMissingReview => self.tell_of_missing_review(record).await,
        };
        match driven {
            Ok(Outcome::Activated { .. } | Outcome::Overtaken(_) | Outcome::Settled(_)) => {}
            Ok(Outcome::NotActivated(refusal)) => {
                tracing::warn!(grant = %id, error = %refusal, "a grant was not activated");
            }
            // The claim ends, and the grant is due again.
            Err(error) => {
                self.counters.worker_errors();
                let cause = error.cause.as_deref().unwrap_or_default();
                tracing::error!(grant = %id, %error, cause, "due work failed and will be tried again");
            }
        }
    }

    /// The one place that decides what the worker drives a due grant toward. A grant that is still applying was never
    /// acknowledged to its client: it is rolled back, and not activated, unless persons approved it.
    fn goal_of<'g>(&self, record: &GrantRecord) -> Wanted<'g> {
        let now = self.clock.now();
        Wanted::Drive(match (&record.grant.state, record.reevaluation) {
            (State::Waiting(waiting), _) if now >= waiting.until => Goal::End(over(*waiting)),
            (State::Waiting(_), _) if self.is_lease_lost(record) => Goal::End(EndCause::LeaseLost),
            (State::Waiting(_), Some(due)) if now >= due.at => return Wanted::DecideAgain(due.mark),
            // Its client waited for persons and waits still: the approval is not lost with one broker.
            (State::Applying { .. }, _)
                if record.grant.approval.is_some()
                    && now < record.grant.expires_at
                    && !self.is_lease_lost(record) =>
            {
                Goal::Activate { permit: None, claimed_at: None }
            }
            (State::Applying { .. }, _) => Goal::End(EndCause::Abandoned),
            (State::Active { .. }, _) if now >= record.grant.expires_at => Goal::End(EndCause::Deadline),
            (State::Active { .. }, _) if self.is_lease_lost(record) => Goal::End(EndCause::LeaseLost),
            (State::Active { .. }, Some(due)) if now >= due.at => return Wanted::DecideAgain(due.mark),
            (State::Revoked { .. }, _) if record.grant.review_until().is_some_and(|until| now >= until) => {
                return Wanted::TellOfMissingReview;
            }
            // The heartbeat window was reset after the claim.
            (
                State::Active { .. }
                | State::Waiting(_)
                | State::Denied { .. }
                | State::RollingBack { .. }
                | State::Failed { .. }
                | State::Ending(_)
                | State::Revoked { .. },
                _,
            ) => Goal::Finish,
        })
    }

    /// The event tells every channel, as that of the grant's request did.
    async fn tell_of_missing_review(&self, record: GrantRecord) -> Result<Outcome, Refusal> {
        let id = record.grant.id.clone();
        let Ok(overdue) = record.grant.clone().review_is_overdue(self.clock.now()) else {
            return Ok(Outcome::Settled(record));
        };
        match self.store.save(&record, &overdue, Precondition::Version, None).await? {
            SaveOutcome::Done(record) => {
                self.counters.break_glass_reviews_overdue();
                tracing::error!(grant = %id, "a grant that was taken by break-glass was not reviewed in time");
                Ok(Outcome::Settled(record))
            }
            SaveOutcome::Conflict | SaveOutcome::LockLost => Ok(Outcome::Overtaken(id)),
        }
    }

    fn is_lease_lost(&self, record: &GrantRecord) -> bool {
        let since = self.heartbeat_window.since();
        record.lease.is_some_and(|lease| lease.lost_at(since) <= self.clock.now())
    }
}
