//! Revoke: writes that the grant ends, and drives it to gone.

use std::time::Duration;

use domain::EndCause;
use protocol::people::Right;
use protocol::{Actor, AgentId, Grant, GrantId, IdempotencyKey, RevokeCause};
use store::{GrantRecord, RevokeByKey};

use super::approvals::because;
use crate::break_glass::is_for;
use crate::people::On;
use crate::{Caller, Engine, Refusal, to_wire};

/// How long the tombstone of an idempotency key is kept. The longest grant lasts as long, and no request is on its way
/// for longer.
const TOMBSTONE_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Names the grant to revoke.
#[derive(Debug, Clone)]
pub enum Revocable {
    /// The grant with this id.
    Id(GrantId),
    /// The grant that this key was, or will be, used for.
    Key(IdempotencyKey),
    /// The same, of a grant that the caller takes by break-glass: the bearer is not the agent's.
    KeyOf { agent: AgentId, key: IdempotencyKey },
}

/// Why a caller revokes a grant.
#[derive(Debug, Clone)]
pub struct RevokeReason {
    /// What a client says of its step.
    pub cause: RevokeCause,
    /// What an operator or a person says.
    pub because: Option<String>,
}

impl From<RevokeCause> for RevokeReason {
    fn from(cause: RevokeCause) -> Self {
        Self { cause, because: None }
    }
}

impl Engine {
    /// Ends a grant, and reverts it as far as possible now. Idempotent: goes on with a grant that ends already, since
    /// the driver that ended it may have died.
    pub async fn revoke(
        &self,
        caller: &Caller,
        what: &Revocable,
        reason: impl Into<RevokeReason>,
    ) -> Result<Grant, Refusal> {
        let claim = self.driver.claim_from(self.clock.now());
        let RevokeReason { cause, because: said } = reason.into();
        let said = because(said.as_deref())?;
        let record = self.find(caller, what).await?;
        let cause = match caller {
            _ if caller.took(&record.grant) => EndCause::Client(cause),
            Caller::Operator(name) => revoked_by(&record, Actor::Operator { name: name.clone() }, said),
            Caller::Person(session) => revoked_by(&record, Actor::Person(session.person.clone()), said),
            Caller::Agent(_) | Caller::Code(_) => EndCause::Client(cause),
        };
        let record = self.driver.drive_to_end(record, &cause, &claim).await?;
        Ok(to_wire::grant(&record))
    }

    async fn find(&self, caller: &Caller, what: &Revocable) -> Result<GrantRecord, Refusal> {
        let record = match (what, caller) {
            (Revocable::Id(id), _) => self.driver.read(id).await?,
            (Revocable::Key(key) | Revocable::KeyOf { key, .. }, Caller::Agent(agent)) => {
                self.find_by_key(&agent.id, key).await?
            }
            (Revocable::KeyOf { agent, key }, Caller::Person(session)) => {
                let seen = self.permit(session, Right::View, On::Agent(agent)).await;
                seen.map_err(|_| Refusal::no_such_grant())?;
                self.find_by_key(agent, key).await?
            }
            (Revocable::KeyOf { agent, key }, Caller::Code(code)) if is_for(code, agent) => {
                self.find_by_key(agent, key).await?
            }
            (
                Revocable::Key(_) | Revocable::KeyOf { .. },
                Caller::Operator(_) | Caller::Person(_) | Caller::Code(_),
            ) => {
                return Err(Refusal::no_such_grant().hint("operators and persons revoke by grant id"));
            }
        };
        self.admit_to(caller, Right::Operate, &record.grant).await?;
        Ok(record)
    }

    async fn find_by_key(&self, agent: &AgentId, key: &IdempotencyKey) -> Result<GrantRecord, Refusal> {
        let forget_after = self.clock.now().plus(TOMBSTONE_KEPT);
        match self.store.revoke_key(agent, key, forget_after).await? {
            RevokeByKey::Grant(record) => Ok(record),
            RevokeByKey::Tombstoned => {
                Err(Refusal::no_such_grant().hint("this key has no grant, and will get none"))
            }
        }
    }
}

fn revoked_by(record: &GrantRecord, by: Actor, because: Option<String>) -> EndCause {
    tracing::info!(grant = %record.grant.id, %by, "an operator or a person revokes a grant");
    EndCause::EndedBy(by, because)
}
