//! Decides live grants again, after a change of the rules, of posture or of their agent.

use domain::{Agent, DecisionKind, DecisionSummary, EndCause, NewEvent, State};
use protocol::EventKind;
use store::GrantRecord;
use targets::claim::Claim;

use crate::approvals::Reviewed;
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
        if matches!(record.grant.state, State::Waiting(_)) {
            return Box::pin(self.review_waiting(record, mark, &agent)).await;
        }
        let again = self.decide_again(DecisionKind::ReEvaluation, &record, &agent).await?;
        self.counters.grants_reevaluated();
        let recorded = again.is_recorded().then_some(&again.decided.decision);
        if let Err(denied) = &again.decided.permit {
            tracing::warn!(grant = %record.grant.id, reason = denied.detail, "a live grant is refused now");
            self.store.record_decision(Some(&record.grant.id), &again.decided.decision).await?;
            let cause = EndCause::ContextChanged(again.decided.decision.enforced.verdict.rules);
            return self.driver.drive(record, Goal::End(cause), claim).await;
        }
        let next = again.decided.reevaluate_at();
        let current = self.store.reevaluated(&record, mark, recorded, next).await?;
        let other_rules = again.decided.decision.enforced.rules != again.rules_before;
        if current && recorded.is_some() && other_rules {
            self.store.add_events(&record.grant.id, &[stays(&again.decided)]).await?;
        }
        Ok(Outcome::Settled(record))
    }

    /// Decides a grant again that waits for approval.
    async fn review_waiting(
        &self,
        record: GrantRecord,
        mark: i64,
        agent: &Agent,
    ) -> Result<Outcome, Refusal> {
        let again = self.decide_again(DecisionKind::Approval, &record, agent).await?;
        let next = again.decided.reevaluate_at();
        let reviewed = match self.review(record, agent, &again).await? {
            Reviewed::Waits(record) => {
                let request = &again.decided.decision.facts.request;
                self.vote_by_standing_approvals(record, agent, request).await?
            }
            Reviewed::Approved(record, _) => record,
            Reviewed::Denied(record, _) => return Ok(Outcome::Settled(record)),
            Reviewed::Overtaken(id) => return Ok(Outcome::Overtaken(id)),
        };
        // The mark of a grant that was saved meanwhile stays, and it is decided once more.
        self.store.reevaluated(&reviewed, mark, None, next).await?;
        Ok(Outcome::Settled(reviewed))
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
