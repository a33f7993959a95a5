//! Heartbeat: the client's sign of life for a grant.

use protocol::{Grant, GrantId, IdempotencyKey, Secret};
use store::HeartbeatOutcome;

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
        let (caller, agent) = self.holder(bearer, id).await?;
        let now = self.clock.now();
        match self.store.heartbeat(id, &agent.id, key, now).await? {
            HeartbeatOutcome::Recorded(record) if !caller.holds(&record.grant) => {
                Err(Refusal::no_such_grant())
            }
            HeartbeatOutcome::Recorded(record) if record.grant.due_at().is_some_and(|ends| now < ends) => {
                Ok(to_wire::grant(&record))
            }
            HeartbeatOutcome::Recorded(_) => Err(Refusal::grant_ended(Some("deadline reached".to_owned()))),
            HeartbeatOutcome::Ended(record) => Err(Refusal::grant_ended(record.grant.end_reason())),
            HeartbeatOutcome::Unknown => Err(Refusal::no_such_grant()),
        }
    }
}
