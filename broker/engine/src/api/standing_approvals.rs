//! Standing approvals: persons make, list and end them.

use domain::StandingApproval;
use domain::facts::RequestFacts;
use policy::{AccessRequest, Holder, Requested};
use protocol::people::Right;
use protocol::standing_approvals::{
    MAX_HOURS, MAX_REF, MAX_USES, NewStandingApproval, StandingApproval as OnTheWire, StandingApprovalList,
};
use protocol::{ErrorCode, IdempotencyKey, Person, Secret, StandingApprovalId, Ttl};
use sha2::{Digest, Sha256};

use super::agents::no_such_agent;
use super::approvals::{because, person_required};
use super::seen::Seen;
use crate::people::On;
use crate::rules::facts::request_of;
use crate::{Caller, Engine, Refusal, to_wire};

/// The most that are in force for one agent.
const MAX_OF_AGENT: usize = 100;

impl Engine {
    /// Approves requests of an agent in advance, for the person of the session. A retry with the same key makes no other
    /// standing approval.
    pub async fn approve_in_advance(
        &self,
        bearer: Option<&Secret>,
        key: &IdempotencyKey,
        new: &NewStandingApproval,
    ) -> Result<OnTheWire, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let Caller::Person(session) = &caller else { return Err(person_required()) };
        within_limits(new)?;
        let because = because(new.because.as_deref())?;
        let now = self.clock.now();
        let agent = &new.agent_id;
        self.permit(session, Right::View, On::Agent(agent)).await.map_err(|_| no_such_agent(agent))?;
        let agent = self.store.agent(agent).await?.ok_or_else(|| no_such_agent(agent))?;
        let asked = AccessRequest {
            policies: &new.policies,
            ttl: Ttl::MIN,
            target: new.target.as_deref(),
            holder: Holder::Heartbeat,
        };
        let checked = policy::check(&agent, asked)?;
        let boundary = &agent.registration.boundary;
        let scope = boundary.scope(checked.scope_name().as_str()).unwrap_or_else(|| boundary.first());
        let request = request_of(scope, checked.policies(), Ttl::MIN, true);
        let requested =
            Requested { policies: checked.policies(), target: request.target, scope: &request.scope };
        self.may_vote(session, &agent, requested, now)?;
        let until = now.plus(new.lasts.into());
        // Every vote that it casts is as late as `until` at most.
        self.ensure_fresh(session, &agent, requested, until).map_err(|refusal| {
            refusal.hint("approve it with `cloudanix-jit approve` when it is requested, or in advance for a shorter time after `cloudanix-jit login --fresh`")
        })?;
        let id = id_of(&session.person, key);
        if let Some(known) = self.store.standing_approval(&id).await? {
            let conflict = |detail| {
                Err(Refusal::new(ErrorCode::IdempotencyConflict, detail)
                    .hint("use a new random key for each standing approval"))
            };
            return match is_for(&known, new, &request) {
                true if known.revoked => {
                    conflict("the standing approval of this idempotency key was revoked")
                }
                true => Ok(to_wire::standing_approval(&known)),
                false => conflict(
                    "the idempotency key was used for a standing approval with another target, or other policies, uses, ref or time",
                ),
            };
        }
        if self.store.standing_approvals(Some(&agent.id), now).await?.len() >= MAX_OF_AGENT {
            let detail = format!("agent `{}` has {MAX_OF_AGENT} standing approvals in force", agent.id);
            return Err(Refusal::new(ErrorCode::InvalidRequest, detail)
                .hint("`cloudanix-jit approvals revoke ID` ends one"));
        }
        let standing = StandingApproval {
            id,
            session: (**session).clone(),
            agent_id: agent.id.clone(),
            target: request.target,
            account: request.account,
            scope: request.scope,
            policies: request.policies,
            git_ref: new.git_ref.clone(),
            because,
            uses: new.uses,
            used_for: Vec::new(),
            created_at: now,
            until,
            revoked: false,
        };
        self.store.add_standing_approval(&standing).await?;
        tracing::warn!(
            person = %session.person.shown(), standing_approval = %standing.id, agent = %standing.agent_id,
            uses = standing.uses, until = %standing.until, "a person approved requests in advance"
        );
        Ok(to_wire::standing_approval(&standing))
    }

    /// Standing approvals in force, newest first: those for agents that the caller may see.
    pub async fn standing_approvals(&self, bearer: Option<&Secret>) -> Result<StandingApprovalList, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let mut seen = Seen::by(&caller, self);
        let mut listed = Vec::new();
        for standing in self.store.standing_approvals(None, self.clock.now()).await? {
            if seen.includes(&standing.agent_id).await {
                listed.push(to_wire::standing_approval(&standing));
            }
        }
        listed.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        Ok(StandingApprovalList { standing_approvals: listed })
    }

    /// Ends a standing approval: its own person may, and who may operate the agent.
    pub async fn revoke_standing_approval(
        &self,
        bearer: Option<&Secret>,
        id: &StandingApprovalId,
    ) -> Result<OnTheWire, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let not_found = || {
            Refusal::new(
                ErrorCode::StandingApprovalNotFound,
                format!("no standing approval is known as `{id}`"),
            )
        };
        let standing = self.store.standing_approval(id).await?.ok_or_else(not_found)?;
        self.admit(&caller, Right::View, &standing.agent_id).await.map_err(|_| not_found())?;
        let is_own = matches!(&caller, Caller::Person(session) if standing.is_of(&session.person));
        if !is_own {
            self.admit(&caller, Right::Operate, &standing.agent_id).await?;
        }
        let ended = self.end_standing_approval(standing).await?;
        tracing::warn!(
            by = %caller.shown(), standing_approval = %ended.id, agent = %ended.agent_id, "a standing approval was revoked"
        );
        Ok(to_wire::standing_approval(&ended))
    }
}

/// The id of what this person approves with this key.
fn id_of(person: &Person, key: &IdempotencyKey) -> StandingApprovalId {
    let digest = Sha256::digest(format!("{}\n{}\n{key}", person.issuer, person.subject));
    let mut bits = [0; 8];
    bits.iter_mut().zip(digest).for_each(|(bit, from)| *bit = from);
    StandingApprovalId::from_bits(bits)
}

fn is_for(known: &StandingApproval, new: &NewStandingApproval, request: &RequestFacts) -> bool {
    known.agent_id == new.agent_id
        && (known.target, &known.scope, &known.account) == (request.target, &request.scope, &request.account)
        && known.uses == new.uses
        && known.git_ref == new.git_ref
        && known.until == known.created_at.plus(new.lasts.into())
        && new.policies.iter().all(|name| known.policies.iter().any(|policy| policy.name == *name))
}

fn within_limits(new: &NewStandingApproval) -> Result<(), Refusal> {
    let invalid = |detail: String| Err(Refusal::new(ErrorCode::InvalidRequest, detail));
    if !(1..=MAX_USES).contains(&new.uses) {
        return invalid(format!("uses: expected 1 to {MAX_USES}, found {}", new.uses));
    }
    if new.lasts.as_secs() > MAX_HOURS * 3600 {
        return invalid(format!("lasts: expected at most `{MAX_HOURS}h`, found `{}`", new.lasts));
    }
    let length = new.git_ref.as_ref().map_or(1, |git_ref| git_ref.chars().count());
    if !(1..=MAX_REF).contains(&length) {
        return invalid(format!("ref: expected 1 to {MAX_REF} characters, found {length}"));
    }
    Ok(())
}
