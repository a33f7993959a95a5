//! How do several grants share one object at a target? As a set: the object is there while any live grant needs it.
//!
//! Whoever changes the object holds it in the store, so that "nobody else needs it" stays true until it is taken
//! away. Before the first change it is looked whether the object was there before us: what is foreign stays.

use std::time::Duration;

use domain::{Grant, Step};
use protocol::Timestamp;
use store::{
    AfterUpdate, GrantRecord, LockPurpose, LockRequest, Ownership, Release, ResourceLock, StoreError,
};
use targets::claim::Claim;
use targets::{Fault, LateWrites, Removal, Target, TargetError};
use tracing::Instrument;

use crate::{Engine, spans};

/// No call takes longer: what is begun with less than this left of a hold might arrive after it.
pub(crate) const CALL: Duration = Duration::from_secs(8);
/// How long to wait for whoever holds the object.
const PATIENCE: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(50);

impl Engine {
    /// Makes sure that the object is there. It is let go with the next change of the grant, if that comes at once.
    pub(crate) async fn give_shared(
        &self,
        stored: &GrantRecord,
        step: &Step,
        target: &dyn Target,
        next: Next,
    ) -> Result<(String, Option<Release>), TargetError> {
        let lock =
            self.lock(step, &stored.grant, |_| LockPurpose::Attach { version: stored.version }).await?;
        let ownership = match self.ownership(&lock, stored, step, target).await {
            Ok(ownership) => ownership,
            Err(error) => {
                self.note(&lock, lock.ownership, AfterUpdate::ReleaseLock).await?;
                return Err(error);
            }
        };
        if ownership == Ownership::Foreign {
            let release = Release { ownership, delete_may_land_until: lock.delete_may_land_until, lock };
            let kept = self.let_go(release, next).await?;
            return Ok((format!("{} was there before · left as it is", step.object), kept));
        }
        if ownership != lock.ownership {
            self.note(&lock, ownership, AfterUpdate::KeepLock).await?;
        }
        let applied = match self.in_time(&lock) {
            Ok(()) => {
                let claim = self.claim_on(&stored.grant).no_longer_than(lock.until);
                let applying = target.apply(&stored.grant, step, self.clock.now(), &claim);
                applying.instrument(spans::target("target: give", target.kind())).await
            }
            Err(error) => Err(error),
        };
        match applied {
            Ok(receipt) => {
                let release = Release { ownership, delete_may_land_until: lock.delete_may_land_until, lock };
                Ok((receipt, self.let_go(release, next).await?))
            }
            Err(error) => {
                self.note(&lock, ownership, AfterUpdate::ReleaseLock).await?;
                Err(error)
            }
        }
    }

    /// Makes sure that the object is gone, unless somebody else needs it. It is let go with the next change of the
    /// grant, if that comes at once.
    pub(crate) async fn take_shared_back(
        &self,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
        what: TakingBack,
        next: Next,
        claim: &Claim,
    ) -> Result<(Removal, Option<Release>), TargetError> {
        let lock = self.lock(step, grant, |until| taking(grant, target, what, until)).await?;
        let others = lock.others;
        let stays = match lock.ownership {
            _ if others > 0 => Some(format!("{others} other grants need it · it stays for them")),
            Ownership::Foreign => Some(format!("{} was there before · it stays", step.object)),
            // Whoever was to put it there did not come to that.
            Ownership::Unknown => Some(format!("{} was not touched", step.object)),
            // Taken away before this grant was asked for, and whoever puts it there writes that down first.
            Ownership::Managed { write_may_land_until: Some(until) } if until < grant.requested_at => {
                Some(format!("{} was not touched", step.object))
            }
            Ownership::Managed { .. } => None,
        };
        if let Some(proof) = stays {
            // Whoever needs it answers from here on for what of ours may have landed.
            let ownership = match lock.ownership {
                Ownership::Managed { .. } if others > 0 => Ownership::Managed { write_may_land_until: None },
                Ownership::Managed { .. } | Ownership::Unknown | Ownership::Foreign => lock.ownership,
            };
            let release = Release { ownership, delete_may_land_until: lock.delete_may_land_until, lock };
            // An earlier try may have left something, before somebody else came to need the object.
            let session_deny_until = match release.ownership {
                Ownership::Managed { .. } | Ownership::Foreign => {
                    target.session_deny_needed_until(step, self.clock.now())
                }
                Ownership::Unknown => None,
            };
            let kept = self.let_go(release, next).await?;
            return Ok((Removal::Confirmed { proof, session_deny_until }, kept));
        }
        let claim = claim.no_longer_than(lock.until);
        let (undone, delete_may_land_until) = match (self.in_time(&lock), what) {
            (Err(error), _) => (Err(error), lock.delete_may_land_until),
            (Ok(()), TakingBack::Look) => {
                (target.observe(grant, step, self.clock.now(), &claim).await, lock.delete_may_land_until)
            }
            (Ok(()), TakingBack::Undo) => self.undo_held(&lock, grant, step, target, &claim).await,
        };
        let ownership = match &undone {
            Ok(Removal::Confirmed { .. }) => {
                Ownership::Managed { write_may_land_until: Some(self.last_write_lands(grant, target)) }
            }
            Ok(Removal::Pending { .. }) => Ownership::Managed { write_may_land_until: None },
            // Nothing was learnt: what was gone before is not there again.
            Err(_) => lock.ownership,
        };
        let release = Release { lock, ownership, delete_may_land_until };
        match undone {
            Ok(undone) => Ok((undone, self.let_go(release, next).await?)),
            Err(error) => {
                self.let_go(release, Next::More).await?;
                Err(error)
            }
        }
    }

    /// Says as well until when it may go now.
    async fn undo_held(
        &self,
        lock: &ResourceLock,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
        claim: &Claim,
    ) -> (Result<Removal, TargetError>, Option<Timestamp>) {
        let delete_may_land_until = match target.late_writes() {
            LateWrites::Impossible => lock.delete_may_land_until,
            LateWrites::Possible { .. } if !lock.delete_recorded => {
                let what = format!("{} is not written down as what may go", lock.object);
                let busy = Fault::Busy { retry_after: Duration::from_secs(1) };
                return (Err(TargetError { what, fault: busy }), lock.delete_may_land_until);
            }
            LateWrites::Possible { within } => lock.delete_may_land_until.max(Some(lock.until.plus(within))),
        };
        let undoing = target.revert(grant, step, self.clock.now(), claim);
        let undone = undoing.instrument(spans::target("target: take back", target.kind())).await;
        let unanswered = matches!(undone, Err(TargetError { fault: Fault::Unknown, .. }));
        (undone, if unanswered { delete_may_land_until } else { lock.delete_may_land_until })
    }

    async fn lock(
        &self,
        step: &Step,
        grant: &Grant,
        to: impl Fn(Timestamp) -> LockPurpose + Send,
    ) -> Result<ResourceLock, TargetError> {
        let give_up_at = tokio::time::Instant::now() + PATIENCE;
        loop {
            let now = self.clock.now();
            let until = now.plus(self.settings.get().claim);
            let holding =
                LockRequest { object: &step.object, grant: &grant.id, purpose: to(until), now, until };
            if let Some(lock) = self.store.lock_shared_object(holding).await.map_err(unavailable)? {
                return Ok(lock);
            }
            if tokio::time::Instant::now() >= give_up_at {
                return Err(TargetError {
                    what: format!("{} is being changed for another grant", step.object),
                    fault: Fault::Busy { retry_after: Duration::from_secs(1) },
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whose it is, if the grant may have it.
    async fn ownership(
        &self,
        lock: &ResourceLock,
        stored: &GrantRecord,
        step: &Step,
        target: &dyn Target,
    ) -> Result<Ownership, TargetError> {
        // As it was when the object was had: whoever ends the grant from then on takes it back after this.
        if !lock.grant_is_current {
            return Err(overtaken());
        }
        self.claim_has_time(stored)?;
        let now = self.clock.now();
        if let Some(until) = lock.delete_may_land_until.filter(|until| now < *until) {
            let what = format!(
                "{} was to be taken away, and no answer came: it may still go until {until}",
                step.object
            );
            return Err(TargetError { what, fault: Fault::Busy { retry_after: until.since(now) } });
        }
        // What is not ours for certain is looked at: its owner may have taken it away since, or put it there.
        if lock.ownership == (Ownership::Managed { write_may_land_until: None }) {
            return Ok(lock.ownership);
        }
        self.in_time(lock)?;
        let claim = self.claim_on(&stored.grant).no_longer_than(lock.until);
        Ok(match target.observe(&stored.grant, step, self.clock.now(), &claim).await? {
            Removal::Confirmed { .. } => Ownership::Managed { write_may_land_until: None },
            Removal::Pending { .. } => Ownership::Foreign,
        })
    }

    /// A holder that slept must not change what is somebody else's to change by now.
    fn in_time(&self, lock: &ResourceLock) -> Result<(), TargetError> {
        if self.clock.now().plus(CALL) < lock.until {
            return Ok(());
        }
        Err(TargetError {
            what: format!("{} was held for too long", lock.object),
            fault: Fault::Busy { retry_after: Duration::from_secs(1) },
        })
    }

    async fn note(
        &self,
        lock: &ResourceLock,
        ownership: Ownership,
        then: AfterUpdate,
    ) -> Result<(), TargetError> {
        self.note_going(lock, ownership, lock.delete_may_land_until, then).await
    }

    async fn note_going(
        &self,
        lock: &ResourceLock,
        ownership: Ownership,
        delete_may_land_until: Option<Timestamp>,
        then: AfterUpdate,
    ) -> Result<(), TargetError> {
        if self
            .store
            .update_shared_object(lock, ownership, delete_may_land_until, then)
            .await
            .map_err(unavailable)?
        {
            return Ok(());
        }
        Err(taken_over(lock))
    }

    /// At once, unless the grant's next change does it.
    async fn let_go(&self, release: Release, next: Next) -> Result<Option<Release>, TargetError> {
        match next {
            Next::Change => Ok(Some(release)),
            Next::More => {
                let Release { lock, ownership, delete_may_land_until } = &release;
                self.note_going(lock, *ownership, *delete_may_land_until, AfterUpdate::ReleaseLock).await?;
                Ok(None)
            }
        }
    }

    /// What was to be let go with a change to which it did not come. If this fails, the hold lapses.
    pub(crate) async fn let_go_after_all(&self, held: Option<Release>) {
        let Some(release) = held else { return };
        if let Err(error) = self.let_go(release, Next::More).await {
            tracing::warn!(%error, "a shared object is held until that lapses");
        }
    }

    /// Until when what is seen may be a write of ours that was lost on its way.
    fn last_write_lands(&self, grant: &Grant, target: &dyn Target) -> Timestamp {
        let never_acknowledged = grant.granted_at().is_none();
        match target.late_writes() {
            LateWrites::Possible { within } if never_acknowledged => self.clock.now().plus(within),
            LateWrites::Possible { .. } | LateWrites::Impossible => {
                self.clock.now().max(grant.late_until.unwrap_or(grant.requested_at))
            }
        }
    }
}

/// What comes after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The grant is changed.
    Change,
    /// Something else that may take its time.
    More,
}

/// Which way a grant is being taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakingBack {
    /// It is to go.
    Undo,
    /// It is to be gone.
    Look,
}

/// What is written down with a hold that lasts until then. Until its answer is there, a call may take the object away at
/// any moment: this broker can die, and its call land all the same. Nobody puts the object there meanwhile.
fn taking(grant: &Grant, target: &dyn Target, what: TakingBack, until: Timestamp) -> LockPurpose {
    match (what, target.late_writes()) {
        // What is begun in time is lost by the end of the hold at the latest.
        (TakingBack::Undo, LateWrites::Possible { within }) => {
            LockPurpose::Detach { asked_at: grant.requested_at, delete_may_land_until: until.plus(within) }
        }
        (TakingBack::Undo, LateWrites::Impossible) | (TakingBack::Look, _) => LockPurpose::Inspect,
    }
}

/// Somebody else held it meanwhile.
pub(crate) fn taken_over(lock: &ResourceLock) -> TargetError {
    TargetError {
        what: format!("{} was taken over for another grant", lock.object),
        fault: Fault::Busy { retry_after: Duration::from_secs(1) },
    }
}

/// Whoever changed the grant goes on with it.
pub(crate) fn overtaken() -> TargetError {
    TargetError::refused("somebody else goes on with this grant, or has ended it")
}

pub(crate) fn unavailable(error: StoreError) -> TargetError {
    tracing::error!(%error, "the store cannot be asked before a step is done");
    TargetError {
        what: "the broker's database is not available".to_owned(),
        fault: Fault::Busy { retry_after: Duration::from_secs(1) },
    }
}
