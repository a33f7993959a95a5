//! A grant that is in use: heartbeats, new credentials, reports, and its revoke.

use std::time::Duration;

use protocol::actions::Action;
use protocol::{Grant, GrantId, IdempotencyKey, RevokeCause};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::api::{Client, GrantRef, Heartbeat, Renewed, Reported, RetryPolicy, Revoked};
use crate::error::Error;

/// An active grant and the client that elevated. A clone names the same grant.
#[derive(Clone, Debug)]
pub struct ActiveGrant {
    client: Client,
    id: GrantId,
    key: IdempotencyKey,
    heartbeat_every: Option<Duration>,
    /// By this process' clock, from the answer: the clocks of CI machines are wrong now and then.
    deadline: Instant,
}

/// Why a grant ended before it was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseEnd {
    /// The broker says that the grant has ended, and why.
    Ended(String),
    /// The deadline has come.
    Deadline,
}

impl ActiveGrant {
    /// A grant that the broker has just issued.
    pub fn new(client: Client, grant: &Grant, key: IdempotencyKey) -> Self {
        let seconds = grant.heartbeat_seconds.map(|seconds| u64::from(seconds.max(1)));
        Self {
            client,
            id: grant.id.clone(),
            key,
            heartbeat_every: seconds.map(Duration::from_secs),
            deadline: Instant::now() + Duration::from(grant.ttl),
        }
    }

    /// The same grant, with connections of its own: its calls do not delay the revoke.
    pub fn with_own_connections(&self) -> Result<Self, Error> {
        Ok(Self { client: self.client.with_own_connections()?, ..self.clone() })
    }

    /// The grant's id.
    pub fn id(&self) -> &GrantId {
        &self.id
    }

    /// Sends heartbeats at the grant's interval, and returns when the grant has ended.
    ///
    /// A heartbeat that fails changes nothing: the next one follows, and the lease lasts for three of them.
    pub async fn keep_alive(&self) -> LeaseEnd {
        tokio::select! {
            ended = self.heartbeats() => ended,
            () = sleep_until(self.deadline) => LeaseEnd::Deadline,
        }
    }

    async fn heartbeats(&self) -> LeaseEnd {
        let Some(period) = self.heartbeat_every else { return std::future::pending().await };
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Ok(Heartbeat::Ended(why)) = self.client.heartbeat(&self.id, &self.key).await {
                return LeaseEnd::Ended(why);
            }
        }
    }

    /// Requests credentials that last longer than the current ones.
    pub async fn renew(&self) -> Result<Renewed, Error> {
        self.client.renew(&self.id, &self.key).await
    }

    /// Puts actions of the step on the grant's timeline.
    pub async fn report(&self, actions: Vec<Action>) -> Result<Reported, Error> {
        self.client.report(&self.id, &self.key, actions).await
    }

    /// Revokes the grant.
    pub async fn revoke(&self, cause: RevokeCause, within: Duration) -> Result<Revoked, Error> {
        self.client.revoke(GrantRef::Id(&self.id), cause, RetryPolicy::within(within)).await
    }
}
