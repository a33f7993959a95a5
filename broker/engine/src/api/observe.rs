//! Observes steps that run without a grant: what would have been decided, and what they called.

use std::collections::BTreeMap;

use domain::facts::ObservedFacts;
use domain::{Decision, DecisionKind, Outcome};
use protocol::actions::ActionsReport;
use protocol::observations::{Observation, ObservationReport, ObservedAgent, ObservedUse};
use protocol::{AgentId, ElevateRequest, ErrorCode, PolicyName, Secret, Timestamp};
use store::{ActionsAdded, OBSERVED_ACTIONS_KEPT, ObservationListing, StoredObservation};

use super::actions::check_form;
use crate::clock::random_hex;
use crate::{Engine, Refusal};

/// Observations per read of the store.
const PAGE: u32 = 500;

impl Engine {
    /// Decides about a step that runs without a grant, and records it. Grants nothing, and does not use up the OIDC token.
    /// A step whose identity no trust rule accepts is recorded as denied: the trust rule is what has to be changed.
    pub async fn observe(
        &self,
        bearer: Option<&Secret>,
        request: &ElevateRequest,
        observed: ObservedFacts,
    ) -> Result<Observation, Refusal> {
        let authorized = match self.authorize(bearer, request, observed.clone()).await {
            Ok(authorized) => authorized,
            Err(refusal) => self.as_denied(bearer, request, observed, refusal).await?,
        };
        let decided = self.decide(DecisionKind::Observe, authorized.asked()).await?;
        let id = format!("obs-{}", random_hex::<8>(self.random.as_ref())?);
        self.store.record_observation(&id, &decided.decision).await?;
        self.counters.observations();
        let denied = decided.permit.err();
        Ok(Observation {
            id,
            agent_id: authorized.agent.id.clone(),
            outcome: decided.decision.enforced.verdict.outcome,
            detail: denied.as_ref().map(|denied| denied.detail.clone()),
            hint: denied.map(|denied| denied.hint),
        })
    }

    /// Adds what an observed step called.
    pub async fn report_observed(
        &self,
        bearer: Option<&Secret>,
        id: &str,
        report: &ActionsReport,
    ) -> Result<(), Refusal> {
        let agent = self.agent_of(bearer).await?;
        check_form(report)?;
        match self.store.add_observed_actions(id, &agent.id, &report.actions).await? {
            ActionsAdded::Done => Ok(()),
            ActionsAdded::Unknown => {
                let detail = "no observation of this agent has this id";
                Err(Refusal::new(ErrorCode::ObservationNotFound, detail))
            }
            ActionsAdded::TooMany => {
                let detail = format!("actions: expected at most {OBSERVED_ACTIONS_KEPT} different ones");
                Err(Refusal::new(ErrorCode::InvalidRequest, detail))
            }
        }
    }

    /// What was observed since then, agent by agent.
    pub async fn observation_report(
        &self,
        since: Timestamp,
        agent: Option<&AgentId>,
    ) -> Result<ObservationReport, Refusal> {
        let mut agents: BTreeMap<AgentId, Summary> = BTreeMap::new();
        let mut after = None;
        loop {
            let listing = ObservationListing { agent, since: Some(since), after, limit: PAGE };
            let page = self.store.observations(listing).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.number);
            for observation in page {
                let agent = observation.decision.facts.agent.id.clone();
                agents.entry(agent).or_default().add(observation);
            }
        }
        let agents = agents.into_iter().map(|(id, summary)| summary.of(id)).collect();
        Ok(ObservationReport { since, agents })
    }
}

/// Calls of one policy's steps: how many there were, and how many succeeded.
#[derive(Default)]
struct Calls {
    all: u64,
    successful: u64,
}

#[derive(Default)]
struct Summary {
    observations: u64,
    outcomes: BTreeMap<String, u64>,
    reasons: BTreeMap<String, u64>,
    used: BTreeMap<Vec<PolicyName>, BTreeMap<String, Calls>>,
}

impl Summary {
    fn add(&mut self, observation: StoredObservation) {
        let StoredObservation { decision, actions, .. } = observation;
        self.observations += 1;
        *self.outcomes.entry(decision.enforced.verdict.outcome.as_str().to_owned()).or_default() += 1;
        if let Some(reason) = reason(&decision) {
            *self.reasons.entry(reason).or_default() += 1;
        }
        let policies = decision.facts.request.policies.into_iter().map(|policy| policy.name).collect();
        let used = self.used.entry(policies).or_default();
        for action in actions {
            let calls = used.entry(action.name).or_default();
            calls.all += u64::from(action.count);
            if action.status.is_none_or(|status| status.starts_with('2')) {
                calls.successful += u64::from(action.count);
            }
        }
    }

    fn of(self, agent_id: AgentId) -> ObservedAgent {
        let used = self.used.into_iter().map(|(policies, calls)| ObservedUse {
            policies,
            suggested: calls
                .iter()
                .filter(|(_, calls)| calls.successful > 0)
                .map(|(name, _)| name.clone())
                .collect(),
            actions: calls.into_iter().map(|(name, calls)| (name, calls.all)).collect(),
        });
        ObservedAgent {
            agent_id,
            observations: self.observations,
            ready: self.reasons.is_empty(),
            outcomes: self.outcomes,
            reasons: self.reasons,
            used: used.collect(),
        }
    }
}

/// Why the step would not have been allowed.
fn reason(decision: &Decision) -> Option<String> {
    let verdict = &decision.enforced.verdict;
    let by = verdict.rules.join(", ");
    match (verdict.outcome, &verdict.refused_by_boundary) {
        (Outcome::Allow, _) => None,
        (_, Some(why)) => Some(why.clone()),
        (Outcome::Deny, None) if by.is_empty() => Some("no rule permits it".to_owned()),
        (Outcome::NeedsApproval, None) if by.is_empty() => Some("a person has to approve it".to_owned()),
        (Outcome::NeedsApproval, None) => Some(format!("a person has to approve it, by {by}")),
        (Outcome::Deny, None) => Some(format!("refused by {by}")),
        (Outcome::Error, None) => Some(format!("rules could not be evaluated: {by}")),
    }
}
