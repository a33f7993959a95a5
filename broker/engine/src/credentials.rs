//! What the step uses, once more: a session of the target may end before its grant.

use domain::State;
use policy::{AccessRequest, Holder};
use protocol::{Grant, GrantId, IdempotencyKey, Secret};

use crate::{Engine, Refusal};

impl Engine {
    /// Fresh credentials of an active grant. Needs the key, which only this run holds. What the boundary does not
    /// permit any more is not given again.
    pub async fn credentials(
        &self,
        bearer: Option<&Secret>,
        id: &GrantId,
        key: &IdempotencyKey,
    ) -> Result<Grant, Refusal> {
        let agent = self.agent_of(bearer).await?;
        let stored = self.store.grant_by_key(&agent.id, key).await?;
        let stored = stored.filter(|stored| stored.grant.id == *id).ok_or_else(Refusal::no_such_grant)?;
        let active = matches!(stored.grant.state, State::Active { .. });
        if !active || self.clock.now() >= stored.grant.expires_at {
            return Err(Refusal::grant_ended(stored.grant.end_reason()));
        }
        let asked = AccessRequest {
            policies: &stored.grant.policies,
            ttl: stored.grant.ttl,
            target: Some(stored.grant.scope.as_str()),
            holder: stored.lease.map_or(Holder::DeadlineOnly, |_| Holder::Heartbeat),
        };
        let permit = policy::check(&agent, asked)?;
        let target = self.target(stored.grant.target)?;
        Ok(self.answer(&stored, &permit, target.as_ref()).await?.grant)
    }
}
