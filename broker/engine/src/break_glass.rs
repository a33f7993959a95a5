//! Break-glass: who may take a grant in an emergency, and who holds it.
//!
//! A person with a fresh sign-in, or the holder of a sealed code. Both work while the identity provider, the channels and
//! the rule sets are broken: a session and a code are in the database, and the rules of persons in a file. No credential
//! of a workload reaches it.

use std::sync::Arc;

use domain::{Agent, Grant, SealedCode, Session};
use policy::{Requested, Resource};
use protocol::break_glass::BreakGlassCode;
use protocol::people::Right;
use protocol::{Actor, AgentId, ErrorCode, GrantId, Secret, Timestamp};

use crate::auth::{hash_of, not_accepted};
use crate::people::On;
use crate::rules::agent_glob;
use crate::{Caller, Engine, Refusal};

impl Caller {
    /// Whether the caller took this grant by break-glass, and so is its holder.
    pub(crate) fn took(&self, grant: &Grant) -> bool {
        let actor = match self {
            Self::Person(session) => Actor::Person(session.person.clone()),
            Self::Code(code) => code.actor(),
            Self::Operator(_) | Self::Agent(_) => return false,
        };
        grant.break_glass.as_ref().is_some_and(|taken| taken.is_by(&actor))
    }

    /// Whether the grant is the caller's: of its own agent, and taken by no person; or taken by the caller.
    pub(crate) fn holds(&self, grant: &Grant) -> bool {
        match self {
            Self::Agent(agent) => grant.agent_id == agent.id && grant.break_glass.is_none(),
            Self::Operator(_) | Self::Person(_) | Self::Code(_) => self.took(grant),
        }
    }
}

impl Engine {
    /// The caller and the agent of the grant, for what only a grant's holder does. A person or a code that does not hold it
    /// is refused here. A workload's agent is that of its auth token: check [`Caller::holds`] when the grant is read.
    pub(crate) async fn holder(
        &self,
        bearer: Option<&Secret>,
        id: &GrantId,
    ) -> Result<(Caller, Arc<Agent>), Refusal> {
        let caller = self.caller(bearer).await?;
        let agent = match &caller {
            Caller::Agent(agent) => Arc::clone(agent),
            Caller::Operator(_) => return Err(not_accepted()),
            Caller::Person(_) | Caller::Code(_) => {
                let record = self.driver.read(id).await?;
                if !caller.took(&record.grant) {
                    return Err(Refusal::no_such_grant());
                }
                self.store.agent(&record.grant.agent_id).await?.ok_or_else(Refusal::no_such_grant)?
            }
        };
        Ok((caller, agent))
    }

    /// Admits the holder, and callers with this right on grants of the agent. A workload does not see what a person took.
    pub(crate) async fn admit_to(&self, caller: &Caller, right: Right, grant: &Grant) -> Result<(), Refusal> {
        match caller {
            _ if caller.took(grant) => Ok(()),
            Caller::Agent(_) if grant.break_glass.is_some() => Err(Refusal::no_such_grant()),
            Caller::Agent(_) | Caller::Operator(_) | Caller::Person(_) | Caller::Code(_) => {
                self.admit(caller, right, &grant.agent_id).await
            }
        }
    }

    /// The sealed code of a bearer. Whether it is still accepted is checked when a grant is taken with it: afterwards it
    /// holds that grant to the end.
    pub(crate) async fn sealed_code_of(&self, bearer: &Secret) -> Result<SealedCode, Refusal> {
        let malformed =
            |error: protocol::break_glass::InvalidCode| code_refused().because(error).hint(error.to_string());
        let code = BreakGlassCode::parse(bearer.reveal()).map_err(malformed)?;
        self.store.sealed_code(&hash_of(code.secret().reveal())).await?.ok_or_else(code_refused)
    }

    /// Refuses a person without the right or a fresh sign-in.
    pub(crate) fn may_break_glass(
        &self,
        session: &Session,
        agent: &Agent,
        requested: Requested<'_>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let people = self.people()?;
        let resource = Resource::Request(agent, requested);
        let permitted = people.rules.permit(session, Right::BreakGlass, resource, now);
        permitted.map_err(|not| self.not_permitted(session, Right::BreakGlass, On::Agent(&agent.id), not))?;
        if now <= session.authenticated_at.plus(people.fresh) {
            return Ok(());
        }
        let minutes = people.fresh.as_secs() / 60;
        Err(Refusal::new(
            ErrorCode::FreshSignInRequired,
            format!("a grant is taken by break-glass within {minutes} min of the sign-in"),
        )
        .hint("run `cloudanix-jit login --fresh`; while the provider is down, use a sealed code (`--code`)"))
    }
}

/// Whether grants of this agent can be taken with the code. A glob that cannot be read is for no agent.
pub(crate) fn is_for(code: &SealedCode, agent: &AgentId) -> bool {
    code.agents.iter().any(|glob| agent_glob(glob).is_ok_and(|glob| glob.is_match(agent.as_str())))
}

pub(crate) fn code_refused() -> Refusal {
    Refusal::new(
        ErrorCode::BreakGlassCodeRefused,
        "the break-glass code is not accepted: expected one that is sealed for this agent, unused, and neither expired nor revoked",
    )
    .hint("each code is good for one grant: use another one")
}
