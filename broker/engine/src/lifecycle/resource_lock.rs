//! Acquires, updates and releases the lock on a shared object.

use std::time::Duration;

use domain::{Grant, Step};
use protocol::Timestamp;
use store::{AfterUpdate, LockPurpose, LockRequest, Ownership, Release, ResourceLock, StoreError};
use targets::{Fault, TargetError};

use super::Driver;

/// The longest call to a target. A call that begins with less than this left of a lock might be applied after the lock.
pub(super) const CALL: Duration = Duration::from_secs(8);
/// How long to wait for a lock of another grant.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(50);
const RETRY_AFTER: Fault = Fault::Busy { retry_after: Duration::from_secs(1) };

/// When a lock is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unlock {
    /// With the next save of the grant, which follows at once.
    WithNextSave,
    /// When the step is done: the next save may be far away.
    Now,
}

impl Driver {
    /// `purpose` gets the time at which the lock ends.
    pub(super) async fn lock(
        &self,
        step: &Step,
        grant: &Grant,
        purpose: impl Fn(Timestamp) -> LockPurpose + Send,
    ) -> Result<ResourceLock, TargetError> {
        let give_up_at = tokio::time::Instant::now() + ACQUIRE_WITHIN;
        loop {
            let now = self.clock.now();
            let until = now.plus(self.settings.load().claim);
            let request =
                LockRequest { object: &step.object, grant: &grant.id, purpose: purpose(until), now, until };
            if let Some(lock) = self.store.lock_shared_object(request).await.map_err(unavailable)? {
                return Ok(lock);
            }
            if tokio::time::Instant::now() >= give_up_at {
                let what = format!("{} is being changed for another grant", step.object);
                return Err(TargetError { what, fault: RETRY_AFTER });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Refuses a call that might be applied after the lock has ended.
    pub(super) fn ensure_locked_for_a_call(&self, lock: &ResourceLock) -> Result<(), TargetError> {
        if self.clock.now().plus(CALL) < lock.until {
            return Ok(());
        }
        Err(TargetError { what: format!("{} was locked for too long", lock.object), fault: RETRY_AFTER })
    }

    /// Writes the ownership of the locked object, and keeps or releases the lock.
    pub(super) async fn update_lock(
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
        Err(lock_lost(lock))
    }

    /// Releases the lock, or returns what is to be released with the next save.
    pub(super) async fn unlock(
        &self,
        release: Release,
        unlock: Unlock,
    ) -> Result<Option<Release>, TargetError> {
        match unlock {
            Unlock::WithNextSave => Ok(Some(release)),
            Unlock::Now => {
                let Release { lock, ownership, delete_may_land_until } = &release;
                self.update_lock(lock, *ownership, *delete_may_land_until, AfterUpdate::ReleaseLock).await?;
                Ok(None)
            }
        }
    }

    /// Releases a lock whose save did not happen. If that fails, the lock expires.
    pub(super) async fn release_or_let_expire(&self, lock: Option<Release>) {
        let Some(release) = lock else { return };
        if let Err(error) = self.unlock(release, Unlock::Now).await {
            tracing::warn!(%error, "the lock of a shared object is not released and will expire");
        }
    }
}

/// Another driver has locked the object since.
pub(super) fn lock_lost(lock: &ResourceLock) -> TargetError {
    TargetError { what: format!("{} was locked for another grant", lock.object), fault: RETRY_AFTER }
}

pub(super) fn unavailable(error: StoreError) -> TargetError {
    tracing::error!(%error, "the store is not available before a step");
    TargetError { what: "the broker's database is not available".to_owned(), fault: RETRY_AFTER }
}
