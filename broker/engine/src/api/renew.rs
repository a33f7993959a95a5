//! New credentials of an active grant, because a session at the target may end before the grant.

use domain::{DecisionKind, EndCause, State};
use protocol::{Grant, GrantId, IdempotencyKey, Secret};
use store::GrantRecord;

use crate::{Engine, Refusal};

impl Engine {
    /// Requires the idempotency key, which only the run of the grant has. The grant is decided again: if the boundary or a
    /// rule refuses it now, it ends.
    pub async fn credentials(
        &self,
        bearer: Option<&Secret>,
        id: &GrantId,
        key: &IdempotencyKey,
    ) -> Result<Grant, Refusal> {
        let (caller, agent) = self.holder(bearer, id).await?;
        let record = self.store.grant_by_key(&agent.id, key).await?;
        let is_it = |record: &GrantRecord| record.grant.id == *id && caller.holds(&record.grant);
        let record = record.filter(is_it).ok_or_else(Refusal::no_such_grant)?;
        let active = matches!(record.grant.state, State::Active { .. });
        if !active || self.clock.now() >= record.grant.expires_at {
            return Err(Refusal::grant_ended(record.grant.end_reason()));
        }
        let claim = self.driver.claim_from(self.clock.now());
        let again = self.decide_again(DecisionKind::Credentials, &record, &agent).await?;
        if again.is_recorded() {
            self.store.record_decision(Some(id), &again.decided.decision).await?;
        }
        let decided = again.decided;
        let permit = match decided.permit {
            Ok(permit) => permit,
            Err(denied) => {
                let cause = EndCause::ContextChanged(decided.decision.enforced.verdict.rules);
                self.driver.drive_to_end(record, &cause, &claim).await?;
                return Err(denied.into());
            }
        };
        let target = self.driver.target(record.grant.target)?;
        Ok(self.active_grant(&record, &permit, target.as_ref()).await?.grant)
    }
}
