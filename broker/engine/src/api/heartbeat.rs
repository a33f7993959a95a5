//! Heartbeat: the client says that it still uses its grant.

use protocol::{Grant, GrantId, IdempotencyKey, Secret};
use store::Beat;

use crate::{Engine, Refusal, to_wire};

impl Engine {
    /// Records a heartbeat. Requires the idempotency key, which only the run of the grant has. Never extends the
    /// deadline.
    pub async fn heartbeat(
        &self,
        bearer: Option<&Secret>,
        id: &GrantId,
        key: &IdempotencyKey,
    ) -> Result<Grant, Refusal> {
        let agent = self.agent_of(bearer).await?;
        let now = self.clock.now();
        match self.store.beat(id, &agent.id, key, now).await? {
            Beat::Heard(record) if now < record.grant.expires_at => Ok(to_wire::grant(&record)),
            Beat::Heard(_) => Err(Refusal::grant_ended(Some("deadline reached".to_owned()))),
            Beat::Ended(record) => Err(Refusal::grant_ended(record.grant.end_reason())),
            Beat::Unknown => Err(Refusal::no_such_grant()),
        }
    }
}
