//! Decides a grant that exists again: from what was signed at its request, and from everything else as it is now.

use domain::facts::ObservedFacts;
use domain::{Agent, DecisionKind, RuleSetDigest};
use policy::{AccessRequest, Holder, WithinBoundary};
use store::GrantRecord;

use super::decide::{Asked, Decided};
use super::facts::{identity_of_grant, request_of};
use crate::{Engine, Refusal};

/// Decisions that are recorded about one grant, besides a denial: its client can ask for credentials as often as it likes.
const RECORDED: usize = 50;

/// A decision about a grant that exists.
pub(crate) struct DecidedAgain {
    pub(crate) decided: Decided,
    /// The rule set of the last recorded decision.
    pub(crate) rules_before: Option<RuleSetDigest>,
    recorded: usize,
}

impl DecidedAgain {
    /// Whether it is to be recorded.
    pub(crate) fn is_recorded(&self) -> bool {
        self.recorded < RECORDED || self.decided.permit.is_err()
    }
}

impl Engine {
    pub(crate) async fn decide_again(
        &self,
        kind: DecisionKind,
        record: &GrantRecord,
        agent: &Agent,
    ) -> Result<DecidedAgain, Refusal> {
        let grant = &record.grant;
        let recorded = self.store.decisions_of(&grant.id).await?;
        let rules_before = recorded.last().and_then(|last| last.decision.enforced.rules.clone());
        let (count, first) = (recorded.len(), recorded.into_iter().next());
        let (identity, observed, before) = match first.map(|first| first.decision.facts) {
            Some(facts) => (facts.identity, facts.observed, Some(facts.run)),
            None => (identity_of_grant(grant), ObservedFacts::default(), None),
        };
        let heartbeat = record.lease.is_some();
        let checked = policy::check(
            agent,
            AccessRequest {
                policies: &grant.policies,
                ttl: grant.ttl,
                target: Some(grant.scope.as_str()),
                holder: if heartbeat { Holder::Heartbeat } else { Holder::DeadlineOnly },
            },
        );
        let boundary = &agent.registration.boundary;
        let scope = boundary.scope(grant.scope.as_str()).unwrap_or_else(|| boundary.first());
        let policies = checked.as_ref().map_or(grant.policies.as_slice(), WithinBoundary::policies);
        let request = request_of(scope, policies, grant.ttl, heartbeat);
        let run = grant.run.as_deref();
        let asked = Asked {
            agent,
            checked,
            request,
            identity,
            observed,
            run,
            before,
            grant: Some(&grant.id),
            approval: grant.approval.as_ref(),
            break_glass: grant.break_glass.is_some(),
        };
        let decided = self.decide(kind, asked).await?;
        Ok(DecidedAgain { decided, rules_before, recorded: count })
    }
}
