//! Stores standing approvals.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::StandingApproval;
use protocol::{AgentId, StandingApprovalId, Timestamp};

use super::Memory;
use crate::standing_approvals::KEPT_FOR;
use crate::{StandingApprovals, StoreError};

#[derive(Default)]
pub(super) struct Approved(BTreeMap<StandingApprovalId, StandingApproval>);

impl Approved {
    pub(super) fn add(&mut self, new: &StandingApproval) {
        self.0.insert(new.id.clone(), new.clone());
    }

    pub(super) fn get(&self, id: &StandingApprovalId) -> Option<StandingApproval> {
        self.0.get(id).cloned()
    }

    pub(super) fn list(&self, agent: Option<&AgentId>, now: Timestamp) -> Vec<StandingApproval> {
        let is_of = |standing: &&StandingApproval| agent.is_none_or(|agent| standing.agent_id == *agent);
        let mut listed: Vec<_> =
            self.0.values().filter(is_of).filter(|standing| standing.is_in_force(now)).cloned().collect();
        listed.sort_by_key(|standing| (standing.until, standing.id.clone()));
        listed
    }

    pub(super) fn change(&mut self, before: &StandingApproval, after: &StandingApproval) -> bool {
        match self.0.get_mut(&before.id) {
            Some(found) if found == before => {
                *found = after.clone();
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn purge(&mut self, now: Timestamp) {
        self.0.retain(|_, standing| now < standing.until.plus(KEPT_FOR));
    }
}

#[async_trait]
impl StandingApprovals for Memory {
    async fn add_standing_approval(&self, new: &StandingApproval) -> Result<(), StoreError> {
        self.kept().standing_approvals.add(new);
        Ok(())
    }

    async fn standing_approval(
        &self,
        id: &StandingApprovalId,
    ) -> Result<Option<StandingApproval>, StoreError> {
        Ok(self.kept().standing_approvals.get(id))
    }

    async fn standing_approvals(
        &self,
        agent: Option<&AgentId>,
        now: Timestamp,
    ) -> Result<Vec<StandingApproval>, StoreError> {
        Ok(self.kept().standing_approvals.list(agent, now))
    }

    async fn change_standing_approval(
        &self,
        before: &StandingApproval,
        after: &StandingApproval,
    ) -> Result<bool, StoreError> {
        Ok(self.kept().standing_approvals.change(before, after))
    }
}
