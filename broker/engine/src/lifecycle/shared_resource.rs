//! Attaches and detaches an object that several grants share: it exists while any live grant references it.
//!
//! A driver changes the object only under its lock in the store. The lock has a purpose, and the store writes with it
//! what is then certain. **References** are the live grants with a step on the object. **Ownership** says why the object
//! exists: *unknown* (never observed), *managed* (the broker created it, or is about to), *deleted* (managed, with
//! `write_may_land_until`: an object that is observed later than that is not ours), or *foreign* (it was there before,
//! and is never removed). A **late delete** is a delete without an answer that the target may still apply.
//!
//! | purpose | found under the lock | the driver | ownership after that |
//! |---|---|---|---|
//! | attach | the grant was saved by another driver | stops | unchanged |
//! | attach | a late delete is possible | refuses for now | unchanged |
//! | attach | managed | applies | managed |
//! | attach | deleted, and a late write is possible | applies: the store writes *managed* with the lock | managed |
//! | attach | unknown or foreign, or deleted without that | observes: absent → writes *managed*, then applies | managed |
//! | attach | the same | observes: present → leaves it | foreign |
//! | detach | other references | leaves it | managed stays managed; the others own late writes |
//! | detach | foreign or unknown, or deleted before the grant was requested | leaves it | unchanged |
//! | detach | managed, no other reference | writes the late delete with the lock, then reverts: gone | deleted, until its last late write |
//! | detach | the same | reverts: accepted, to be verified | managed |
//! | detach | the same | reverts: no answer | unchanged, and the late delete stays written |
//! | inspect | managed, no other reference | observes, never changes | as after a revert |
//!
//! An example, in which the lock alone would not be enough:
//!
//! | | broker A reverts grant 1 | broker B applies grant 2 | in the store |
//! |---|---|---|---|
//! | 1 | locks to detach: no other reference | | managed, late delete until *T* |
//! | 2 | sends the detach, and dies | | |
//! | 3 | | the lock of A expires; B locks to attach, finds the late delete and waits | |
//! | 4 | AWS applies the detach of A | | |
//! | 5 | | at *T*: locks, attaches; nothing can remove it any more | managed, referenced by 2 |
//!
//! Without the late delete, B attaches at 3, and 4 removes the access of an active grant.
//!
//! The model in `broker/engine/tests/model` explores every interleaving of this protocol, and shows that each rule is
//! needed by leaving it out. Decisions: ADR 11 and ADR 17.

use std::time::Duration;

use domain::{Grant, Step};
use protocol::Timestamp;
use store::{AfterUpdate, GrantRecord, LockPurpose, Ownership, Release, ResourceLock};
use targets::claim::Claim;
use targets::{Fault, LateWrites, Presence, Target, TargetError};
use tracing::Instrument;

use super::Driver;
use super::apply::overtaken;
use super::resource_lock::Unlock;
use super::revert::{StepResult, Work};
use crate::spans;

impl Driver {
    /// Makes sure that the object exists.
    pub(super) async fn attach(
        &self,
        record: &GrantRecord,
        step: &Step,
        target: &dyn Target,
        unlock: Unlock,
    ) -> Result<(String, Option<Release>), TargetError> {
        let lock =
            self.lock(step, &record.grant, |_| LockPurpose::Attach { version: record.version }).await?;
        let ownership = match self.resolve_ownership(&lock, record, step, target).await {
            Ok(ownership) => ownership,
            Err(error) => {
                self.update_lock(&lock, lock.ownership, lock.delete_may_land_until, AfterUpdate::ReleaseLock)
                    .await?;
                return Err(error);
            }
        };
        if ownership == Ownership::Foreign {
            let kept = self.unlock(release(lock, ownership), unlock).await?;
            return Ok((format!("{} was there before · left as it is", step.object), kept));
        }
        if ownership != lock.ownership {
            self.update_lock(&lock, ownership, lock.delete_may_land_until, AfterUpdate::KeepLock).await?;
        }
        let applied = match self.ensure_locked_for_a_call(&lock) {
            Ok(()) => {
                let claim = self.claim_to_apply(&record.grant).no_longer_than(lock.until);
                let applying = target.apply(&record.grant, step, self.clock.now(), &claim);
                applying.instrument(spans::target("target: apply", target.kind())).await
            }
            Err(error) => Err(error),
        };
        match applied {
            Ok(receipt) => Ok((receipt, self.unlock(release(lock, ownership), unlock).await?)),
            Err(error) => {
                self.update_lock(&lock, ownership, lock.delete_may_land_until, AfterUpdate::ReleaseLock)
                    .await?;
                Err(error)
            }
        }
    }

    /// Makes sure that the object is gone, or observes whether it is, unless another grant references it.
    pub(super) async fn detach(
        &self,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
        work: Work,
        unlock: Unlock,
        claim: &Claim,
    ) -> Result<(StepResult, Option<Release>), TargetError> {
        let lock = self.lock(step, grant, |until| detach_purpose(grant, target, work, until)).await?;
        if let Some(proof) = reason_to_leave(&lock, grant, step) {
            let ownership = match lock.ownership {
                // The other references own from here on what a late write of this grant creates.
                Ownership::Managed { .. } if lock.others > 0 => {
                    Ownership::Managed { write_may_land_until: None }
                }
                Ownership::Managed { .. } | Ownership::Unknown | Ownership::Foreign => lock.ownership,
            };
            // An earlier try may have installed one, before another grant came to reference the object.
            let session_deny_until = match ownership {
                Ownership::Managed { .. } | Ownership::Foreign => {
                    target.session_deny_needed_until(step, self.clock.now())
                }
                Ownership::Unknown => None,
            };
            let kept = self.unlock(release(lock, ownership), unlock).await?;
            return Ok((StepResult::Gone { proof, session_deny_until }, kept));
        }
        let claim = claim.no_longer_than(lock.until);
        let (result, delete_may_land_until) = match (self.ensure_locked_for_a_call(&lock), work) {
            (Err(error), _) => (Err(error), lock.delete_may_land_until),
            (Ok(()), Work::Observe) => {
                let observed = target.observe(grant, step, self.clock.now(), &claim).await;
                (observed.map(StepResult::from), lock.delete_may_land_until)
            }
            (Ok(()), Work::Revert) => self.revert_locked(&lock, grant, step, target, &claim).await,
        };
        let ownership = match &result {
            Ok(StepResult::Gone { .. }) => {
                Ownership::Managed { write_may_land_until: Some(self.last_late_write(grant, target)) }
            }
            Ok(StepResult::Accepted { .. } | StepResult::StillThere) => {
                Ownership::Managed { write_may_land_until: None }
            }
            // Nothing was learnt: an object that was gone is not there again.
            Err(_) => lock.ownership,
        };
        let release = Release { lock, ownership, delete_may_land_until };
        match result {
            Ok(result) => Ok((result, self.unlock(release, unlock).await?)),
            Err(error) => {
                self.unlock(release, Unlock::Now).await?;
                Err(error)
            }
        }
    }

    /// Also returns until when a late delete is possible after this.
    async fn revert_locked(
        &self,
        lock: &ResourceLock,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
        claim: &Claim,
    ) -> (Result<StepResult, TargetError>, Option<Timestamp>) {
        let delete_may_land_until = match target.late_writes() {
            LateWrites::Impossible => lock.delete_may_land_until,
            LateWrites::Possible { .. } if !lock.delete_recorded => {
                let what = format!("the lock of {} does not allow a delete", lock.object);
                let busy = Fault::Busy { retry_after: Duration::from_secs(1) };
                return (Err(TargetError { what, fault: busy }), lock.delete_may_land_until);
            }
            LateWrites::Possible { within } => lock.delete_may_land_until.max(Some(lock.until.plus(within))),
        };
        let reverting = target.revert(grant, step, self.clock.now(), claim);
        let reverted = reverting.instrument(spans::target("target: revert", target.kind())).await;
        let no_answer = matches!(reverted, Err(TargetError { fault: Fault::Unknown, .. }));
        (
            reverted.map(StepResult::from),
            if no_answer { delete_may_land_until } else { lock.delete_may_land_until },
        )
    }

    /// Whether the object is the broker's to create, if the grant may attach it now.
    async fn resolve_ownership(
        &self,
        lock: &ResourceLock,
        record: &GrantRecord,
        step: &Step,
        target: &dyn Target,
    ) -> Result<Ownership, TargetError> {
        // Checked with the lock: a driver that ends the grant from then on detaches after this lock.
        if !lock.grant_is_current {
            return Err(overtaken());
        }
        self.ensure_time_to_apply(record)?;
        let now = self.clock.now();
        if let Some(until) = lock.delete_may_land_until.filter(|until| now < *until) {
            let what =
                format!("a delete of {} was not answered, and may be applied until {until}", step.object);
            return Err(TargetError { what, fault: Fault::Busy { retry_after: until.since(now) } });
        }
        if lock.ownership == (Ownership::Managed { write_may_land_until: None }) {
            return Ok(lock.ownership);
        }
        // A foreign owner may have removed the object since, and another may have created it.
        self.ensure_locked_for_a_call(lock)?;
        let claim = self.claim_to_apply(&record.grant).no_longer_than(lock.until);
        Ok(match target.observe(&record.grant, step, self.clock.now(), &claim).await? {
            Presence::Absent { .. } => Ownership::Managed { write_may_land_until: None },
            Presence::Present => Ownership::Foreign,
        })
    }

    /// Until when an object that is observed may be a late write of a grant.
    fn last_late_write(&self, grant: &Grant, target: &dyn Target) -> Timestamp {
        let never_active = grant.granted_at().is_none();
        match target.late_writes() {
            LateWrites::Possible { within } if never_active => self.clock.now().plus(within),
            LateWrites::Possible { .. } | LateWrites::Impossible => {
                self.clock.now().max(grant.late_until.unwrap_or(grant.begins_at()))
            }
        }
    }
}

fn reason_to_leave(lock: &ResourceLock, grant: &Grant, step: &Step) -> Option<String> {
    if lock.others > 0 {
        return Some(format!("{} other grants need it · it stays for them", lock.others));
    }
    match lock.ownership {
        Ownership::Foreign => Some(format!("{} was there before · it stays", step.object)),
        // No driver came to create it.
        Ownership::Unknown => Some(format!("{} was not touched", step.object)),
        // Deleted before this grant began, and ownership is written before the object is created.
        Ownership::Managed { write_may_land_until: Some(until) } if until < grant.begins_at() => {
            Some(format!("{} was not touched", step.object))
        }
        Ownership::Managed { .. } => None,
    }
}

/// The purpose of a lock that ends at `until`. A delete may be applied at any time until it is answered, even if this
/// broker dies: the store writes the late delete with the lock.
fn detach_purpose(grant: &Grant, target: &dyn Target, work: Work, until: Timestamp) -> LockPurpose {
    match (work, target.late_writes()) {
        // A call that begins in time is applied or lost by then.
        (Work::Revert, LateWrites::Possible { within }) => {
            LockPurpose::Detach { asked_at: grant.begins_at(), delete_may_land_until: until.plus(within) }
        }
        (Work::Revert, LateWrites::Impossible) | (Work::Observe, _) => LockPurpose::Inspect,
    }
}

fn release(lock: ResourceLock, ownership: Ownership) -> Release {
    Release { ownership, delete_may_land_until: lock.delete_may_land_until, lock }
}
