//! Stores registered agents and their auth tokens.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use domain::{Agent, AgentStatus};
use protocol::agents::Outcome;
use protocol::{AgentId, Timestamp};

use crate::{Applied, ApplyMode, Registering, StoredToken};

#[derive(Default)]
pub(super) struct Agents {
    agents: BTreeMap<AgentId, Arc<Agent>>,
    /// By the order of creation.
    tokens: Vec<StoredToken>,
}

impl Agents {
    pub(super) fn apply(&mut self, registering: Registering<'_>) -> Applied {
        let Registering { registration, source, mode, token, now } = registering;
        let mut agent = Agent {
            id: registration.id.clone(),
            registration: registration.clone(),
            source: source.to_owned(),
            status: AgentStatus::Active,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        let outcome = match (self.agents.get(&agent.id), mode) {
            (None, _) => {
                self.tokens.push(token.clone());
                Outcome::Created
            }
            (Some(_), ApplyMode::CreateOnly) => return Applied::Exists,
            (Some(before), ApplyMode::Replace) if before.source == source => {
                return Applied::Done(Outcome::Unchanged);
            }
            (Some(before), ApplyMode::Replace) => {
                (agent.status, agent.created_at) = (before.status, before.created_at);
                agent.revision = before.revision + 1;
                Outcome::Updated
            }
        };
        self.agents.insert(agent.id.clone(), Arc::new(agent));
        Applied::Done(outcome)
    }

    pub(super) fn find(&self, id: &AgentId) -> Option<Arc<Agent>> {
        self.agents.get(id).cloned()
    }

    pub(super) fn page(&self, after: Option<&AgentId>, limit: u32) -> Vec<Arc<Agent>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let agents = self.agents.range::<AgentId, _>((from, Bound::Unbounded));
        agents.map(|(_, agent)| Arc::clone(agent)).take(limit as usize).collect()
    }

    pub(super) fn set_status(
        &mut self,
        id: &AgentId,
        status: AgentStatus,
        now: Timestamp,
    ) -> Option<Arc<Agent>> {
        let agent = self.agents.get_mut(id)?;
        if agent.status != status {
            let changed = Arc::make_mut(agent);
            (changed.status, changed.updated_at) = (status, now);
            changed.revision += 1;
        }
        Some(Arc::clone(agent))
    }

    pub(super) fn credential(&self, token_id: &str) -> Option<(StoredToken, Arc<Agent>)> {
        let token = self.tokens.iter().find(|token| token.id == token_id)?;
        Some((token.clone(), self.find(&token.agent_id)?))
    }

    pub(super) fn accepted(&self, id: &AgentId, now: Timestamp) -> Vec<StoredToken> {
        let of_agent = self.tokens.iter().filter(|token| token.agent_id == *id);
        let mut accepted: Vec<_> =
            of_agent.filter(|token| token.expires_at.is_none_or(|end| now < end)).cloned().collect();
        accepted.sort_by_key(|token| token.created_at);
        accepted
    }

    pub(super) fn rotate(&mut self, new: &StoredToken, others_expire_at: Timestamp) -> bool {
        if !self.agents.contains_key(&new.agent_id) {
            return false;
        }
        for token in self.tokens.iter_mut().filter(|token| token.agent_id == new.agent_id) {
            let end = token.expires_at.map_or(others_expire_at, |end| end.min(others_expire_at));
            token.expires_at = Some(end);
        }
        self.tokens.push(new.clone());
        true
    }

    pub(super) fn remove_token(&mut self, id: &AgentId, token_id: &str) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.id != token_id || token.agent_id != *id);
        self.tokens.len() < before
    }

    pub(super) fn purge(&mut self, now: Timestamp) {
        self.tokens.retain(|token| token.expires_at.is_none_or(|end| now < end));
    }
}
