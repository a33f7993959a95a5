//! Revoke: the safe direction. It waits for nothing and nobody is too late for it.

use domain::EndCause;
use protocol::{Grant, GrantId, IdempotencyKey, RevokeCause};
use store::{GrantRecord, Precondition, RevokeByKey};

use crate::{Caller, Engine, Refusal, view};

/// For how long a key that was given back is remembered, so that a request that comes later is refused. As
/// long as the longest grant: no request is on its way for longer.
const KEY_REMEMBERED: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// What to give back.
#[derive(Debug, Clone)]
pub enum Revocable {
    /// The grant with this id.
    Id(GrantId),
    /// Whatever this key was, or will be, used for.
    Key(IdempotencyKey),
}

impl Engine {
    /// Ends a grant. Ending it again says the same.
    pub async fn revoke(
        &self,
        caller: &Caller,
        what: &Revocable,
        cause: RevokeCause,
    ) -> Result<Grant, Refusal> {
        let claim = self.claim_from(self.clock.now());
        let stored = self.find(caller, what).await?;
        let cause = match caller {
            Caller::Operator(by) => {
                tracing::info!(grant = %stored.grant.id, %by, "an operator revokes a grant");
                EndCause::Operator(by.clone())
            }
            Caller::Agent(_) => EndCause::Client(cause),
        };
        let stored = self.end(stored, &cause, Precondition::Version).await?;
        // Whoever ended it before may have died since: taking back once more hurts nobody.
        let stored = self.take_back(stored, &claim).await?;
        Ok(view::grant(&stored))
    }

    async fn find(&self, caller: &Caller, what: &Revocable) -> Result<GrantRecord, Refusal> {
        let stored = match (what, caller) {
            (Revocable::Id(id), _) => match self.just_given.take(id) {
                Some(stored) => stored,
                None => self.store.grant(id).await?.ok_or_else(Refusal::no_such_grant)?,
            },
            (Revocable::Key(key), Caller::Agent(agent)) => {
                let forget_after = self.clock.now().plus(KEY_REMEMBERED);
                match self.store.revoke_key(&agent.id, key, forget_after).await? {
                    RevokeByKey::Grant(stored) => stored,
                    RevokeByKey::Tombstoned => {
                        return Err(Refusal::no_such_grant()
                            .hint("nothing was given for this key, and nothing will be"));
                    }
                }
            }
            (Revocable::Key(_), Caller::Operator(_)) => {
                return Err(Refusal::no_such_grant().hint("an operator revokes by grant id"));
            }
        };
        if caller.may_touch(&stored.grant.agent_id) { Ok(stored) } else { Err(Refusal::no_such_grant()) }
    }
}
