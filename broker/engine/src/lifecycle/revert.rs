//! Reverts the steps of a grant, or observes that their objects are gone.

use domain::grant::Transition;
use domain::{EndCause, Grant, Phase, State, Step};
use futures_util::future::join_all;
use protocol::Timestamp;
use store::{GrantRecord, Precondition, Release, SaveOutcome};
use targets::claim::Claim;
use targets::{LateWrites, Presence, Removal, Target, TargetError};
use tracing::Instrument;

use super::Driver;
use super::parallel::batches;
use super::resource_lock::{Unlock, lock_lost};
use super::retry::{LONGEST_PAUSE, backoff};
use crate::{Refusal, spans};

/// The driver's action on the steps of a grant that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Revert,
    Observe,
}

/// The state of a step's object after a revert or an observation.
pub(super) enum StepResult {
    /// It is gone.
    Gone { proof: String, session_deny_until: Option<Timestamp> },
    /// The target accepted the revert; the object is to be observed at this time.
    Accepted { receipt: String, observe_at: Timestamp },
    /// It was observed, and is still there.
    StillThere,
}

impl From<Removal> for StepResult {
    fn from(removal: Removal) -> Self {
        match removal {
            Removal::Confirmed { proof, session_deny_until } => Self::Gone { proof, session_deny_until },
            Removal::Pending { receipt, observe_at } => Self::Accepted { receipt, observe_at },
        }
    }
}

impl From<Presence> for StepResult {
    fn from(presence: Presence) -> Self {
        match presence {
            Presence::Absent { proof, session_deny_until } => Self::Gone { proof, session_deny_until },
            Presence::Present => Self::StillThere,
        }
    }
}

impl Driver {
    /// Reverts or observes every step and saves how far that came. A grant with nothing to revert now, and one that
    /// another driver saves first, is returned as it is. `claim` counts from before the record was read.
    pub(super) async fn revert(&self, record: GrantRecord, claim: &Claim) -> Result<GrantRecord, Refusal> {
        let reverted = self.revert_steps(&record.grant, Unlock::WithNextSave, claim).await?;
        let Some((reverted, lock)) = reverted else { return Ok(record) };
        let saved = match self.store.save(&record, &reverted, Precondition::Version, lock.as_ref()).await? {
            // Paused for so long that another driver has locked the object since, and may have changed it.
            SaveOutcome::LockLost => {
                let what = lock.map(|release| lock_lost(&release.lock).what).unwrap_or_default();
                let now = self.clock.now();
                let retry_at = now.plus(backoff(record.grant.attempts()));
                let Ok(failed) = record.grant.clone().revert_failed(now, &what, retry_at) else {
                    return Ok(record);
                };
                self.counters.revert_failures();
                self.store.save(&record, &failed, Precondition::Version, None).await?
            }
            saved @ (SaveOutcome::Done(_) | SaveOutcome::Conflict) => saved,
        };
        match saved {
            SaveOutcome::Done(record) => {
                self.count_if_final(&record);
                Ok(record)
            }
            SaveOutcome::Conflict | SaveOutcome::LockLost => self.read(&record.grant.id).await,
        }
    }

    /// The transition that reverting or observing every step leads to, the last batch first; `None` if there is nothing
    /// to do, or not yet. The lock of the first step, if `unlock` says so, is to be released with the save.
    pub(super) async fn revert_steps(
        &self,
        grant: &Grant,
        unlock: Unlock,
        claim: &Claim,
    ) -> Result<Option<(Transition, Option<Release>)>, Refusal> {
        let work = match &grant.state {
            State::RollingBack { .. } => Work::Revert,
            State::Ending(ending) => match ending.phase {
                // Clouds are eventually consistent: observed too early, "not found" proves nothing.
                Phase::Verifying if self.clock.now() < ending.retry_at => return Ok(None),
                Phase::Verifying => Work::Observe,
                Phase::Revoking | Phase::RevokeFailing | Phase::Expired => Work::Revert,
            },
            State::Denied { .. }
            | State::Waiting(_)
            | State::Applying { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Revoked { .. } => return Ok(None),
        };
        let target = self.target(grant.target)?;
        // A late write that is applied after a step was reverted, during another step or a pause, leaves an object.
        let began = self.clock.now();
        let mut proofs = Vec::new();
        let mut observe_at = None;
        let mut still_there = false;
        let mut session_deny_until = None;
        let mut failed = None;
        let mut lock = None;
        for batch in batches(target.as_ref(), &grant.steps).into_iter().rev() {
            // An object that is observed and still there is reverted at once, under a new lock. Steps of one batch may
            // wait for each other's locks, so each releases its own.
            let unlock = if batch == (0..1) && work == Work::Revert { unlock } else { Unlock::Now };
            let steps = grant.steps.get(batch).unwrap_or_default().iter().rev();
            let working =
                steps.map(|step| self.revert_step(grant, step, target.as_ref(), work, unlock, claim));
            for result in join_all(working).await {
                match result {
                    Ok((StepResult::Gone { proof, session_deny_until: needed_until }, kept)) => {
                        proofs.push(proof);
                        session_deny_until = session_deny_until.max(needed_until);
                        lock = kept;
                    }
                    Ok((StepResult::Accepted { receipt, observe_at: at }, kept)) => {
                        proofs.push(receipt);
                        observe_at = observe_at.max(Some(at));
                        lock = kept;
                    }
                    Ok((StepResult::StillThere, kept)) => {
                        still_there = true;
                        lock = kept;
                    }
                    Err(error) => failed = Some(error.what),
                }
            }
        }
        let now = self.clock.now();
        let never_active = matches!(grant.state, State::RollingBack { .. });
        let late_until = self.late_writes_until(grant, target.late_writes());
        let late_write_possible = began < late_until;
        let grant = grant.clone();
        let transition = match (&failed, observe_at) {
            (Some(what), _) => {
                self.counters.revert_failures();
                let retry_at = now.plus(backoff(grant.attempts()));
                grant.revert_failed(now, what, retry_at)
            }
            // As good as a failed try: reverted once more, and at once.
            (None, _) if still_there => {
                let Ok(failed) = grant.revert_failed(now, "still there", now) else { return Ok(None) };
                return Ok(Some(match Box::pin(self.revert_steps(&failed.grant, unlock, claim)).await? {
                    Some((reverted, lock)) => (failed.then(reverted), lock),
                    None => (failed, None),
                }));
            }
            (None, Some(observe_at)) if !never_active => {
                grant.verify(now, observe_at.max(late_until), &proofs.join(" · "))
            }
            (None, Some(observe_at)) => grant.revert_again(observe_at.max(late_until)),
            (None, None) if late_write_possible && never_active => grant.revert_again(late_until),
            (None, None) if late_write_possible => grant.verify(now, late_until, &proofs.join(" · ")),
            (None, None) => {
                let session_deny_until =
                    session_deny_until.map(|at| at.max(self.last_revert_lands(now, target.late_writes())));
                grant.gone(now, &proofs.join(" · "), session_deny_until)
            }
        };
        // The state was checked above and allows each of these transitions.
        Ok(transition.ok().map(|transition| (transition, lock)))
    }

    async fn revert_step(
        &self,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
        work: Work,
        unlock: Unlock,
        claim: &Claim,
    ) -> Result<(StepResult, Option<Release>), TargetError> {
        let now = self.clock.now();
        Ok(match work {
            _ if step.shared => return self.detach(grant, step, target, work, unlock, claim).await,
            Work::Observe => (target.observe(grant, step, now, claim).await?.into(), None),
            Work::Revert => {
                let reverting = target.revert(grant, step, now, claim);
                (reverting.instrument(spans::target("target: revert", target.kind())).await?.into(), None)
            }
        })
    }

    /// Removes the session-deny policies of a final grant, if that is due.
    pub(super) async fn remove_session_denies(
        &self,
        record: GrantRecord,
        claim: &Claim,
    ) -> Result<GrantRecord, Refusal> {
        let now = self.clock.now();
        if record.grant.session_deny_until.is_none_or(|until| now < until) {
            return Ok(record);
        }
        let target = self.target(record.grant.target)?;
        let mut texts = Vec::new();
        let mut retry_at = None;
        for step in &record.grant.steps {
            match target.remove_session_deny(&record.grant, step, now, claim).await {
                Ok(text) => texts.extend(text),
                Err(error) => {
                    tracing::warn!(grant = %record.grant.id, %error, "a session-deny policy is not removed");
                    retry_at = Some(now.plus(LONGEST_PAUSE));
                }
            }
        }
        let text = (!texts.is_empty()).then(|| texts.join(" · "));
        let removed = record.grant.clone().session_deny_removed(now, retry_at, text.as_deref());
        let Ok(removed) = removed else { return Ok(record) };
        match self.store.save(&record, &removed, Precondition::Version, None).await? {
            SaveOutcome::Done(record) => Ok(record),
            SaveOutcome::Conflict | SaveOutcome::LockLost => Ok(record),
        }
    }

    /// When the last call of any driver that reverted the grant is applied or lost, if the grant is gone `now`: each of
    /// them read the grant before, and its claim counts from then.
    fn last_revert_lands(&self, now: Timestamp, late: LateWrites) -> Timestamp {
        match late {
            LateWrites::Impossible => now,
            LateWrites::Possible { within } => now.plus(self.settings.load().claim).plus(within),
        }
    }

    /// Until when a call of a driver that applied steps may still be applied. A driver that failed has stopped; one that
    /// was overtaken may send until its claim ends.
    fn late_writes_until(&self, grant: &Grant, late: LateWrites) -> Timestamp {
        let marked = grant.late_until.unwrap_or(grant.begins_at());
        match (&grant.state, late) {
            (_, LateWrites::Impossible) => grant.begins_at(),
            (State::RollingBack { cause: EndCause::TargetFailed(_), .. }, _) => marked,
            (State::RollingBack { .. }, LateWrites::Possible { within }) => {
                marked.max(grant.begins_at().plus(self.settings.load().claim).plus(within))
            }
            (
                State::Denied { .. }
                | State::Waiting(_)
                | State::Applying { .. }
                | State::Failed { .. }
                | State::Active { .. }
                | State::Ending(_)
                | State::Revoked { .. },
                LateWrites::Possible { .. },
            ) => marked,
        }
    }

    pub(super) fn count_if_final(&self, record: &GrantRecord) {
        match record.grant.state {
            State::Revoked { .. } => self.counters.grants_revoked(),
            State::Failed { .. } => self.counters.grants_failed(),
            State::Denied { .. }
            | State::Waiting(_)
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Active { .. }
            | State::Ending(_) => {}
        }
    }
}
