//! The holder is still there.

use protocol::{Grant, GrantId, IdempotencyKey, Secret};
use store::HeartbeatOutcome;

use crate::{Engine, Refusal, view};

impl Engine {
    /// Hears a beat. Needs the key, which only this run holds. Never lengthens the grant.
    pub async fn heartbeat(
        &self,
        bearer: Option<&Secret>,
        id: &GrantId,
        key: &IdempotencyKey,
    ) -> Result<Grant, Refusal> {
        let agent = self.agent_of(bearer).await?;
        let now = self.clock.now();
        match self.store.heartbeat(id, &agent.id, key, now).await? {
            HeartbeatOutcome::Recorded(stored) if now < stored.grant.expires_at => Ok(view::grant(&stored)),
            HeartbeatOutcome::Recorded(_) => Err(Refusal::grant_ended(Some("deadline reached".to_owned()))),
            HeartbeatOutcome::Ended(stored) => Err(Refusal::grant_ended(stored.grant.end_reason())),
            HeartbeatOutcome::Unknown => Err(Refusal::no_such_grant()),
        }
    }
}
