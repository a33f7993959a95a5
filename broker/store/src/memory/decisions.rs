//! Stores decisions, and what the steps of observations called.

use std::collections::BTreeMap;

use domain::{Decision, DecisionKind};
use protocol::actions::Action;
use protocol::{AgentId, GrantId, Timestamp};

use crate::error::corrupt;
use crate::observations::{self, ObservedRow};
use crate::{
    ActionsAdded, DRY_RUNS_KEPT, DecisionFilter, ObservationListing, StoreError, StoredDecision,
    StoredObservation,
};

#[derive(Default)]
pub(super) struct Decisions {
    rows: BTreeMap<i64, StoredDecision>,
    /// By observation, name and status.
    actions: BTreeMap<(String, String, String), u32>,
}

impl Decisions {
    pub(super) fn record(
        &mut self,
        grant: Option<&GrantId>,
        observation: Option<&str>,
        decision: &Decision,
    ) -> Result<i64, StoreError> {
        if let Some(id) = observation
            && self.find_observed(id).is_some()
        {
            return Err(corrupt("a new observation", format!("`{id}` is there already")));
        }
        let number = self.rows.last_key_value().map_or(1, |(last, _)| last + 1);
        let row = StoredDecision {
            number,
            grant: grant.cloned(),
            observation: observation.map(str::to_owned),
            decision: decision.clone(),
            facts_digest: audit::facts_digest(&decision.facts),
        };
        self.rows.insert(number, row);
        if decision.kind == DecisionKind::DryRun {
            self.drop_oldest_dry_runs(&decision.facts.agent.id);
        }
        Ok(number)
    }

    fn drop_oldest_dry_runs(&mut self, agent: &AgentId) {
        let is_dry_run = |row: &&StoredDecision| {
            row.decision.kind == DecisionKind::DryRun && row.decision.facts.agent.id == *agent
        };
        let newest = self.rows.values().rev().filter(is_dry_run);
        let too_many: Vec<i64> = newest.skip(DRY_RUNS_KEPT as usize).map(|row| row.number).collect();
        self.rows.retain(|number, _| !too_many.contains(number));
    }

    pub(super) fn after(&self, number: i64, filter: DecisionFilter<'_>, limit: u32) -> Vec<StoredDecision> {
        let DecisionFilter { since, agent, kinds } = filter;
        let wanted = self.rows.values().filter(|row| {
            let Decision { kind, facts, .. } = &row.decision;
            number < row.number
                && since.is_none_or(|since| since <= facts.at)
                && agent.is_none_or(|agent| facts.agent.id == *agent)
                && (kinds.is_empty() || kinds.contains(kind))
        });
        wanted.take(limit as usize).cloned().collect()
    }

    pub(super) fn of_grant(&self, grant: &GrantId) -> Vec<StoredDecision> {
        self.rows.values().filter(|row| row.grant.as_ref() == Some(grant)).cloned().collect()
    }

    fn find_observed(&self, id: &str) -> Option<&StoredDecision> {
        self.rows.values().find(|row| row.observation.as_deref() == Some(id))
    }

    fn actions_of<'s>(&'s self, id: &'s str) -> impl Iterator<Item = (String, String, u32)> + 's {
        let of_observation = self.actions.iter().filter(move |((observation, ..), _)| observation == id);
        of_observation.map(|((_, name, status), count)| (name.clone(), status.clone(), *count))
    }

    pub(super) fn add_actions(&mut self, id: &str, agent: &AgentId, actions: &[Action]) -> ActionsAdded {
        if self.find_observed(id).is_none_or(|row| row.decision.facts.agent.id != *agent) {
            return ActionsAdded::Unknown;
        }
        let stored: Vec<_> = self.actions_of(id).map(|(name, status, _)| (name, status)).collect();
        let Some(rows) = observations::to_add(stored, actions) else { return ActionsAdded::TooMany };
        for ObservedRow { name, status, count } in rows {
            let sum = self.actions.entry((id.to_owned(), name, status)).or_default();
            *sum = sum.saturating_add(count);
        }
        ActionsAdded::Done
    }

    pub(super) fn observations(&self, listing: ObservationListing<'_>) -> Vec<StoredObservation> {
        let ObservationListing { agent, since, after, limit } = listing;
        let kinds = &[DecisionKind::Observe];
        let rows = self.after(after.unwrap_or_default(), DecisionFilter { since, agent, kinds }, limit);
        let observed = rows.into_iter().map(|row| {
            let id = row.observation.unwrap_or_default();
            let actions = self.actions_of(&id);
            let actions =
                actions.map(|(name, status, count)| ObservedRow { name, status, count }.into()).collect();
            StoredObservation { id, number: row.number, decision: row.decision, actions }
        });
        observed.collect()
    }

    /// The greatest number stays, so that none is used twice.
    pub(super) fn purge(&mut self, not_since: Timestamp) {
        let last = self.rows.last_key_value().map(|(number, _)| *number);
        self.rows.retain(|number, row| not_since < row.decision.facts.at || Some(*number) == last);
        let Self { rows, actions } = self;
        actions.retain(|(id, ..), _| rows.values().any(|row| row.observation.as_ref() == Some(id)));
    }
}
