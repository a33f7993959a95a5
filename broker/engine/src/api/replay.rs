//! Compares recorded decisions with what a second rule set answers. No permit is made here, so no target is reached.

use std::collections::BTreeMap;

use domain::{DecisionKind, Outcome};
use policy::rules::RuleSet;
use protocol::people::Right;
use protocol::rules::{Comparison, Explanation, Flip, RecordedDecision, ReplayRequest};
use protocol::{AgentId, ErrorCode, GrantId, Timestamp};
use store::{DecisionFilter, StoredDecision};

use super::rules::parsed;
use crate::{Caller, Engine, Refusal};

/// Decisions that one request compares.
const PAGE: u32 = 2000;

impl Engine {
    /// Decides a page of recorded requests again, by another rule set.
    pub async fn replay(&self, request: ReplayRequest) -> Result<Comparison, Refusal> {
        let set = parsed(&request.files)?;
        let kinds = [DecisionKind::Elevate, DecisionKind::Observe];
        let filter =
            DecisionFilter { since: Some(request.since), agent: request.agent.as_ref(), kinds: &kinds };
        let (stored, next) = self.page(filter, request.after).await?;
        let compared = tokio::task::spawn_blocking(move || {
            let mut comparison = comparison(Some(&set), next);
            // The boundary refused the others, and no rule can permit them.
            let within =
                |stored: &&StoredDecision| stored.decision.enforced.verdict.refused_by_boundary.is_none();
            for decision in stored.iter().filter(within) {
                let verdict = set.decide(&decision.decision.facts);
                compare(&mut comparison, decision, verdict.outcome, &verdict.rules);
            }
            comparison
        });
        compared
            .await
            .map_err(|error| Refusal::new(ErrorCode::Internal, "the replay ended early").because(error))
    }

    /// Compares a page of recorded decisions with what the present candidate answered in shadow.
    pub async fn shadow_report(
        &self,
        since: Timestamp,
        agent: Option<&AgentId>,
        after: Option<i64>,
    ) -> Result<Comparison, Refusal> {
        let loaded = self.rules_of(self.store.rules().await?.version).await?;
        let candidate = loaded.candidate.as_ref().ok_or_else(|| {
            Refusal::new(ErrorCode::RuleSetNotFound, "rules: expected a candidate, found none")
                .hint("`cloudanix-jit rules apply --candidate DIR` makes a set the candidate")
        })?;
        let filter = DecisionFilter { since: Some(since), agent, kinds: &[] };
        let (stored, next) = self.page(filter, after).await?;
        let mut comparison = comparison(Some(candidate), next);
        for stored in &stored {
            let decision = &stored.decision;
            let of = |decided: &domain::Decided| decided.rules.as_ref() == Some(candidate.digest());
            // In a rollout the candidate decides, and the active set is in its shadow.
            match &decision.shadow {
                Some(shadow) if of(shadow) => {
                    compare(&mut comparison, stored, shadow.verdict.outcome, &shadow.verdict.rules);
                }
                Some(shadow) if of(&decision.enforced) => {
                    let verdict = &decision.enforced.verdict;
                    let before = shadow.verdict.outcome;
                    add(&mut comparison, stored, before, verdict.outcome, &verdict.rules);
                }
                Some(_) | None => {}
            }
        }
        Ok(comparison)
    }

    /// The decisions about one grant, with their facts.
    pub async fn explain(&self, caller: &Caller, id: &GrantId) -> Result<Explanation, Refusal> {
        let decisions = self.recorded_decisions(caller, id).await?.into_iter().map(recorded);
        Ok(Explanation { grant_id: id.clone(), decisions: decisions.collect::<Result<_, _>>()? })
    }

    /// The decisions about one grant, for a caller who may read facts.
    pub(super) async fn recorded_decisions(
        &self,
        caller: &Caller,
        id: &GrantId,
    ) -> Result<Vec<StoredDecision>, Refusal> {
        let grant = self.state(caller, id).await?;
        self.admit(caller, Right::Audit, &grant.agent_id).await?;
        Ok(self.store.decisions_of(id).await?)
    }

    async fn page(
        &self,
        filter: DecisionFilter<'_>,
        after: Option<i64>,
    ) -> Result<(Vec<StoredDecision>, Option<i64>), Refusal> {
        let stored = self.store.decisions_after(after.unwrap_or(0), filter, PAGE).await?;
        let full = stored.len() >= PAGE as usize;
        let next = stored.last().map(|last| last.number).filter(|_| full);
        Ok((stored, next))
    }
}

fn comparison(set: Option<&RuleSet>, next: Option<i64>) -> Comparison {
    let rules: BTreeMap<String, u64> =
        set.into_iter().flat_map(RuleSet::rule_ids).map(|id| (id.to_owned(), 0)).collect();
    Comparison { rules, next, ..Comparison::default() }
}

fn compare(comparison: &mut Comparison, stored: &StoredDecision, after: Outcome, rules: &[String]) {
    let before = stored.decision.enforced.verdict.outcome;
    add(comparison, stored, before, after, rules);
}

fn add(
    comparison: &mut Comparison,
    stored: &StoredDecision,
    before: Outcome,
    after: Outcome,
    rules: &[String],
) {
    let mut page = Comparison { decisions: 1, next: comparison.next, ..Comparison::default() };
    page.rules = rules.iter().map(|rule| (rule.clone(), 1)).collect();
    if before == after {
        page.same = 1;
    } else {
        page.flips.push(Flip {
            agent: stored.decision.facts.agent.id.clone(),
            before,
            after,
            rules: rules.to_vec(),
            count: 1,
            example: stored.number,
            grant: stored.grant.clone(),
        });
    }
    comparison.add(page);
}

fn recorded(stored: StoredDecision) -> Result<RecordedDecision, Refusal> {
    let facts = serde_json::to_value(&stored.decision.facts).map_err(|error| {
        Refusal::new(ErrorCode::Internal, "recorded facts cannot be shown").because(error)
    })?;
    Ok(RecordedDecision {
        number: stored.number,
        at: stored.decision.facts.at,
        kind: stored.decision.kind,
        enforced: stored.decision.enforced,
        shadow: stored.decision.shadow,
        facts,
        facts_digest: stored.facts_digest,
    })
}
