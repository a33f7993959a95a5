//! New credentials of an active grant, because a session at the target may end before the grant.

use domain::State;
use policy::{AccessRequest, Holder};
use protocol::{Grant, GrantId, IdempotencyKey, Secret};

use crate::{Engine, Refusal};

impl Engine {
    /// Requires the idempotency key, which only the run of the grant has. The boundary is checked again: access that was
    /// removed from it since is not issued again.
    pub async fn credentials(
        &self,
        bearer: Option<&Secret>,
        id: &GrantId,
        key: &IdempotencyKey,
    ) -> Result<Grant, Refusal> {
        let agent = self.agent_of(bearer).await?;
        let record = self.store.grant_by_key(&agent.id, key).await?;
        let record = record.filter(|record| record.grant.id == *id).ok_or_else(Refusal::no_such_grant)?;
        let active = matches!(record.grant.state, State::Active { .. });
        if !active || self.clock.now() >= record.grant.expires_at {
            return Err(Refusal::grant_ended(record.grant.end_reason()));
        }
        let asked = AccessRequest {
            policies: &record.grant.policies,
            ttl: record.grant.ttl,
            target: Some(record.grant.scope.as_str()),
            holder: record.lease.map_or(Holder::DeadlineOnly, |_| Holder::Heartbeat),
        };
        let permit = policy::check(&agent, asked)?.permit_without_rules();
        let target = self.driver.target(record.grant.target)?;
        Ok(self.active_grant(&record, &permit, target.as_ref()).await?.grant)
    }
}
