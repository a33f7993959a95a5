//! The bracket of a grant: elevate, heartbeats, credentials, and a revoke however the work ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use protocol::{Grant, IdempotencyKey, RevokeCause};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::active_grant::{ActiveGrant, LeaseEnd};
use crate::api::{Client, ElevateLimits, Notice, Renewed, RetryPolicy, Revoked};
use crate::elevation::Elevation;
use crate::error::Error;

/// How long the guard tries to revoke.
const REVOKE_WITHIN: Duration = Duration::from_secs(10);

/// A grant that ends with this value: heartbeats run while it lives, and dropping it revokes.
///
/// [`GrantGuard::revoke`] waits for the broker's answer. A drop starts the revoke on the current tokio runtime and does
/// not wait. If the process ends first, the heartbeats stop and the broker revokes.
#[derive(Debug)]
pub struct GrantGuard {
    grant: Grant,
    active: ActiveGrant,
    keep_alive: JoinHandle<()>,
    ended: watch::Receiver<Option<LeaseEnd>>,
    revoke: RevokeOnDrop,
}

/// Revokes by key when it is dropped. It exists before the first request is sent, so that a cancelled elevation is
/// revoked too.
#[derive(Debug)]
struct RevokeOnDrop {
    armed: Option<(Client, IdempotencyKey)>,
    was_sent: Arc<AtomicBool>,
}

impl RevokeOnDrop {
    fn new(client: &Client, elevation: &Elevation) -> Self {
        let armed = Some((client.clone(), elevation.key().clone()));
        Self { armed, was_sent: elevation.sent_flag() }
    }

    fn disarm(&mut self) {
        self.armed = None;
    }
}

impl Drop for RevokeOnDrop {
    fn drop(&mut self) {
        let Some((client, key)) = self.armed.take() else { return };
        if !self.was_sent.load(Ordering::Relaxed) {
            return;
        }
        // Outside of a runtime nothing can be sent: the heartbeats have stopped, and the broker revokes.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let policy = RetryPolicy::within(REVOKE_WITHIN);
                let _ = client.revoke_elevation(&key, RevokeCause::Asked, policy).await;
            });
        }
    }
}

impl Client {
    /// Elevates, and returns a guard that sends heartbeats and revokes when it is dropped.
    ///
    /// A failure that may have left a grant behind is revoked by key before this returns; so is a call that is
    /// cancelled, in the background. Call it in a tokio runtime.
    pub async fn acquire(
        &self,
        elevation: &Elevation,
        limits: ElevateLimits,
        notice: impl FnMut(Notice<'_>) + Send,
    ) -> Result<GrantGuard, Error> {
        let key = elevation.key();
        let mut revoke = RevokeOnDrop::new(self, elevation);
        let grant = match self.elevate(elevation, limits, notice).await {
            Ok(grant) => grant,
            Err(error) => {
                let policy = RetryPolicy::within(REVOKE_WITHIN);
                if !elevation.may_have_granted(&error)
                    || self.revoke_elevation(key, RevokeCause::NotStarted, policy).await.is_ok()
                {
                    revoke.disarm();
                }
                return Err(error);
            }
        };
        let active = ActiveGrant::new(self.clone(), &grant, key.clone());
        let (end, ended) = watch::channel(None);
        let keep_alive = tokio::spawn({
            let active = active.clone();
            async move {
                end.send_replace(Some(active.keep_alive().await));
            }
        });
        Ok(GrantGuard { grant, active, keep_alive, ended, revoke })
    }

    /// Runs `work` with a grant, and revokes however it ends: with a value, by a panic, or because it is cancelled.
    ///
    /// The value comes with the outcome of the revoke. A revoke that failed is not the failure of the work: the broker
    /// revokes when the heartbeats stop.
    pub async fn with_grant<T>(
        &self,
        elevation: &Elevation,
        limits: ElevateLimits,
        work: impl AsyncFnOnce(&GrantGuard) -> T,
    ) -> Result<(T, Result<Revoked, Error>), Error> {
        let guard = self.acquire(elevation, limits, |_| {}).await?;
        let value = work(&guard).await;
        Ok((value, guard.revoke(RevokeCause::Asked).await))
    }
}

impl GrantGuard {
    /// The grant with its first credentials.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Requests credentials that last longer than the current ones.
    pub async fn renew(&self) -> Result<Renewed, Error> {
        self.active.renew().await
    }

    /// Waits until the grant has ended without a revoke of this guard.
    pub async fn ended(&self) -> LeaseEnd {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        // The runtime has stopped the heartbeats.
        end.unwrap_or_else(|| LeaseEnd::Ended("the heartbeats were stopped".to_owned()))
    }

    /// Stops the heartbeats, revokes the grant and waits for the broker's answer.
    ///
    /// After an error the revoke is repeated once more in the background, and the broker ends the grant when its lease
    /// is over.
    pub async fn revoke(mut self, cause: RevokeCause) -> Result<Revoked, Error> {
        self.keep_alive.abort();
        let revoked = self.active.revoke(cause, REVOKE_WITHIN).await;
        if revoked.is_ok() {
            self.revoke.disarm();
        }
        revoked
    }
}

impl Drop for GrantGuard {
    fn drop(&mut self) {
        self.keep_alive.abort();
    }
}
