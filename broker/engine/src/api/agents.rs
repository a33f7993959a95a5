//! Registers agents, rotates their tokens, and disables them.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::boundary::ExclusiveResource;
use domain::{Agent, AgentStatus, EndCause, Registration};
use protocol::agents::{AgentList, Applied, Disabled, Outcome, Rotated};
use protocol::{Actor, AgentId, AuthToken, ErrorCode, Secret, Ttl};
use store::{ApplyMode, Listing, Registering, StoredToken};

use super::check_registration::warnings;
use super::seen::READS;
use crate::clock::random;
use crate::{Author, Engine, Page, Refusal, hash_of, to_wire};

/// Records per read of the store.
const PAGE: u32 = 200;

/// The resources of a boundary that only one agent may name.
fn exclusive(registration: &Registration) -> Vec<ExclusiveResource> {
    registration.boundary.scopes().filter_map(|scope| scope.target.exclusive_resource()).collect()
}

/// Why two agents cannot both have their boundaries, if they cannot.
fn conflict(resources: &[ExclusiveResource], other: &Registration) -> Option<String> {
    let of_other = exclusive(other);
    let taken = resources.iter().find(|resource| of_other.contains(resource))?;
    let (key, name) = (taken.key, taken.key.replace('_', " "));
    Some(format!("`boundary.{key}`: agent `{}` has it already: expected one {name} for each", other.id))
}

impl Engine {
    /// Stores a registration. A new agent gets an auth token, which is returned only now.
    pub async fn apply_agent(&self, source: &str, mode: ApplyMode, by: &Author) -> Result<Applied, Refusal> {
        let registration = self.parse_registration(source).await?;
        let now = self.clock.now();
        let agent_id = registration.id.clone();
        let (token, stored) = self.new_token(&agent_id)?;
        let registering = Registering { registration: &registration, source, mode, token: &stored, now };
        match self.store.apply_agent(registering).await? {
            store::Applied::Done(outcome) => {
                tracing::info!(agent = %agent_id, %by, ?outcome, "registration applied");
                let auth_token = match outcome {
                    Outcome::Created => Some(token.secret().clone()),
                    Outcome::Updated | Outcome::Unchanged => None,
                };
                let warnings = warnings(&registration);
                for warning in &warnings {
                    tracing::warn!(agent = %agent_id, "{warning}");
                }
                Ok(Applied { agent_id, outcome, auth_token, warnings })
            }
            store::Applied::Exists => {
                Err(Refusal::new(ErrorCode::AgentExists, format!("agent `{agent_id}` is registered already"))
                    .hint("PUT replaces a registration"))
            }
        }
    }

    /// A registration that can be applied here.
    pub(super) async fn parse_registration(&self, source: &str) -> Result<Registration, Refusal> {
        let registration = domain::registration::parse(source)
            .map_err(|error| Refusal::new(ErrorCode::InvalidRegistration, error.to_string()))?;
        self.check_boundary(&registration).await?;
        Ok(registration)
    }

    /// Says which agents have a file in the folder of registrations.
    pub fn set_agents_from_files(&self, agents: BTreeSet<AgentId>) {
        self.agents_from_files.store(Arc::new(agents));
    }

    /// Checks that these registrations can be applied, also together. The error has the index of the first that cannot.
    pub async fn check_agents(&self, sources: &[&str]) -> Result<(), (usize, Refusal)> {
        let mut checked: Vec<Registration> = Vec::with_capacity(sources.len());
        for (which, source) in sources.iter().enumerate() {
            let refused = |detail: String| (which, Refusal::new(ErrorCode::InvalidRegistration, detail));
            let registration =
                domain::registration::parse(source).map_err(|error| refused(error.to_string()))?;
            self.check_boundary(&registration).await.map_err(|refusal| (which, refusal))?;
            let resources = exclusive(&registration);
            for before in &checked {
                if before.id == registration.id {
                    return Err(refused(format!("`id`: another file is of agent `{}` too", before.id)));
                }
                if let Some(problem) = conflict(&resources, before) {
                    return Err(refused(problem));
                }
            }
            checked.push(registration);
        }
        Ok(())
    }

    /// Refuses a boundary in which this broker cannot provision, and a resource that another agent has.
    async fn check_boundary(&self, registration: &Registration) -> Result<(), Refusal> {
        let refused = |detail: String| Refusal::new(ErrorCode::InvalidRegistration, detail);
        for scope in registration.boundary.scopes() {
            let target =
                self.driver.target(scope.target.kind()).map_err(|refusal| refused(refusal.detail))?;
            target.check_scope(&scope.target).map_err(|problem| refused(format!("`boundary`: {problem}")))?;
        }
        let resources = exclusive(registration);
        if resources.is_empty() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let agents = self.store.agents(after.as_ref(), PAGE).await?;
            let mut others = agents.iter().filter(|agent| agent.id != registration.id);
            if let Some(problem) = others.find_map(|agent| conflict(&resources, &agent.registration)) {
                return Err(refused(problem));
            }
            let Some(last) = agents.last() else { return Ok(()) };
            after = Some(last.id.clone());
        }
    }

    pub async fn agent(&self, id: &AgentId) -> Result<protocol::agents::Agent, Refusal> {
        let agent = self.store.agent(id).await?.ok_or_else(|| no_such_agent(id))?;
        self.with_tokens(&agent).await
    }

    /// A page of the agents that the caller may see, ordered by id. It can be short, because one request reads so many pages
    /// of the store at most.
    pub async fn agents(
        &self,
        bearer: Option<&Secret>,
        mut after: Option<AgentId>,
        page: Page,
    ) -> Result<AgentList, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let mut agents: Vec<protocol::agents::Agent> = Vec::new();
        for _ in 0..READS {
            let stored = self.store.agents(after.as_ref(), page.rows()).await?;
            let is_last_page = stored.len() < page.rows() as usize;
            for agent in stored {
                if agents.len() == page.rows() as usize {
                    return Ok(AgentList { agents, next: after });
                }
                if self.may_see(&caller, &agent) {
                    agents.push(self.with_tokens(&agent).await?);
                }
                after = Some(agent.id.clone());
            }
            if is_last_page {
                return Ok(AgentList { agents, next: None });
            }
        }
        Ok(AgentList { agents, next: after })
    }

    /// Disables an agent, then ends its live grants. In this order, no grant can be created in between.
    pub async fn disable_agent(&self, id: &AgentId, by: &Actor) -> Result<Disabled, Refusal> {
        self.set_status(id, AgentStatus::Disabled).await?;
        tracing::warn!(agent = %id, %by, "agent disabled");
        let grants_ending = self.end_grants_of(id, Some(by)).await?;
        Ok(Disabled { agent_id: id.clone(), grants_ending })
    }

    /// Enables an agent.
    pub async fn enable_agent(&self, id: &AgentId, by: &Actor) -> Result<protocol::agents::Agent, Refusal> {
        let agent = self.set_status(id, AgentStatus::Active).await?;
        tracing::info!(agent = %id, %by, "agent enabled");
        self.with_tokens(&agent).await
    }

    /// Issues a new auth token; the old ones are accepted for `overlap`.
    pub async fn rotate_token(
        &self,
        id: &AgentId,
        overlap: Option<Ttl>,
        by: &Actor,
    ) -> Result<Rotated, Refusal> {
        let (token, stored) = self.new_token(id)?;
        let previous_expire_at = match overlap {
            Some(overlap) => self.clock.now().plus(overlap.into()),
            None => self.clock.now(),
        };
        if !self.store.rotate_token(&stored, previous_expire_at).await? {
            return Err(no_such_agent(id));
        }
        tracing::info!(agent = %id, token = token.id(), %by, "auth token rotated");
        Ok(Rotated { agent_id: id.clone(), auth_token: token.secret().clone(), previous_expire_at })
    }

    /// Revokes one auth token.
    pub async fn revoke_token(&self, id: &AgentId, token_id: &str, by: &Actor) -> Result<(), Refusal> {
        if self.store.revoke_token(id, token_id).await? {
            tracing::warn!(agent = %id, token = token_id, %by, "auth token revoked");
            Ok(())
        } else {
            Err(Refusal::new(
                ErrorCode::TokenNotFound,
                format!("agent `{id}` has no auth token with the id `{token_id}`"),
            )
            .hint("`cloudanix-jit agent show` lists the ids"))
        }
    }

    /// Ends the live grants of disabled agents: the broker may have died in [`Self::disable_agent`].
    pub(crate) async fn end_grants_of_disabled(&self) -> Result<(), Refusal> {
        let mut after = None;
        loop {
            let page = self.store.agents(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for agent in page.iter().filter(|agent| agent.status == AgentStatus::Disabled) {
                self.end_grants_of(&agent.id, None).await?;
            }
        }
    }

    async fn end_grants_of(&self, id: &AgentId, by: Option<&Actor>) -> Result<u32, Refusal> {
        let cause = EndCause::AgentDisabled(by.cloned());
        let mut ending = 0;
        let mut after = None;
        loop {
            let claim = self.driver.claim_from(self.clock.now());
            let listing = Listing {
                live: Some(true),
                agent: Some(id.clone()),
                after,
                limit: PAGE,
                ..Listing::default()
            };
            let page = self.store.list(&listing).await?;
            let Some(last) = page.last() else { return Ok(ending) };
            after = Some(last.grant.id.clone());
            for record in page {
                if record.grant.end_reason().is_none() {
                    self.driver.drive_to_end(record, &cause, &claim).await?;
                    ending += 1;
                }
            }
        }
    }

    async fn set_status(&self, id: &AgentId, status: AgentStatus) -> Result<Arc<Agent>, Refusal> {
        let now = self.clock.now();
        self.store.set_agent_status(id, status, now).await?.ok_or_else(|| no_such_agent(id))
    }

    async fn with_tokens(&self, agent: &Agent) -> Result<protocol::agents::Agent, Refusal> {
        let tokens = self.store.tokens(&agent.id, self.clock.now()).await?;
        Ok(to_wire::agent(agent, &tokens, self.agents_from_files.load().contains(&agent.id)))
    }

    fn new_token(&self, agent_id: &AgentId) -> Result<(AuthToken, StoredToken), Refusal> {
        let source = self.random.as_ref();
        let token = AuthToken::from_random(random(source)?, random(source)?);
        let stored = StoredToken {
            id: token.id().to_owned(),
            agent_id: agent_id.clone(),
            hash: hash_of(token.secret().reveal()),
            created_at: self.clock.now(),
            expires_at: None,
        };
        Ok((token, stored))
    }
}

pub(super) fn no_such_agent(id: &AgentId) -> Refusal {
    Refusal::new(ErrorCode::AgentNotFound, format!("no agent is registered as `{id}`"))
        .hint("`cloudanix-jit agent list` shows those that are")
}
