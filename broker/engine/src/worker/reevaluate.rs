//! Decides live grants again, after a change of the rules, of posture or of their agent.

use domain::{DecisionKind, DecisionSummary, EndCause, NewEvent, RuleSetDigest};
use protocol::EventKind;
use store::GrantRecord;
use targets::claim::Claim;

use crate::lifecycle::{Goal, Outcome};
use crate::rules::decide::Decided;
use crate::{Engine, Refusal};

impl Engine {
    /// A denial ends the grant. Otherwise it stays, and its timeline says so if another rule set decided.
    pub(super) async fn reevaluate(
        &self,
        record: GrantRecord,
        mark: i64,
        claim: &Claim,
    ) -> Result<Outcome, Refusal> {
        let Some(agent) = self.store.agent(&record.grant.agent_id).await? else {
            return Ok(Outcome::Settled(record));
        };
        let before = self.rules_before(&record).await?;
        let decided = self.decide_again(DecisionKind::ReEvaluation, &record, &agent).await?;
        self.counters.grants_reevaluated();
        if let Err(denied) = &decided.permit {
            tracing::warn!(grant = %record.grant.id, reason = denied.detail, "a live grant is refused now");
            self.store.record_decision(Some(&record.grant.id), &decided.decision).await?;
            let cause = EndCause::ContextChanged(decided.decision.enforced.verdict.rules);
            return self.driver.drive(record, Goal::End(cause), claim).await;
        }
        let (next, decision) = (decided.reevaluate_at(), &decided.decision);
        let recorded = self.store.reevaluated(&record, mark, Some(decision), next).await?;
        if recorded && decision.enforced.rules != before {
            self.store.add_events(&record.grant.id, &[stays(&decided)]).await?;
        }
        Ok(Outcome::Settled(record))
    }

    /// The rule set of the last decision.
    async fn rules_before(&self, record: &GrantRecord) -> Result<Option<RuleSetDigest>, Refusal> {
        let last = self.store.decisions_of(&record.grant.id).await?.into_iter().next_back();
        Ok(last.and_then(|last| last.decision.enforced.rules))
    }
}

fn stays(decided: &Decided) -> NewEvent {
    let summary: DecisionSummary = decided.summary();
    let rules = match &decided.decision.enforced.rules {
        Some(rules) => format!("rules {}", rules.short()),
        None => "no rules".to_owned(),
    };
    let by = &decided.decision.enforced.verdict.rules;
    let by = if by.is_empty() { String::new() } else { format!(" · {}", by.join(", ")) };
    let text = format!("decided again · {rules} · allowed{by}");
    summary.on(NewEvent::new(decided.decision.facts.at, EventKind::ReEvaluation, text))
}
