//! Checks at the end of a run that each recorded decision follows from its facts and its rule set.

use domain::{Decided, DecisionFacts, DecisionKind, Outcome, Verdict};
use protocol::EventKind;
use store::{DecisionFilter, Store, StoredDecision};

use crate::fixture::Fixture;
use crate::ledger::Entry;
use crate::rule_sets;

pub(crate) async fn check(fixture: &Fixture) {
    for stored in fixture.store.decisions_after(0, DecisionFilter::default(), u32::MAX).await.unwrap() {
        let decision = &stored.decision;
        for decided in [Some(&decision.enforced), decision.shadow.as_ref()].into_iter().flatten() {
            let again = decide(decided, &decision.facts);
            if again.as_ref() != Some(&decided.verdict) {
                let (number, verdict) = (stored.number, &decided.verdict);
                fixture
                    .trace
                    .wrong(&format!("decision {number} was {verdict:?}, and is {again:?} in a replay"));
            }
        }
    }
    for entry in fixture.ledger.entries() {
        if let Err(what) = has_its_decision(fixture, &entry).await {
            fixture.trace.wrong(&format!("the decisions about {}: {what}", entry.grant.id));
        }
    }
}

/// The verdict of the recorded rule set; none if no operator applied such a set. The boundary of a disabled agent
/// refuses before the rules.
fn decide(decided: &Decided, facts: &DecisionFacts) -> Option<Verdict> {
    match (&decided.verdict.refused_by_boundary, &decided.rules) {
        (Some(why), _) => Some(Verdict::refused_by_boundary(why)),
        (None, None) => Some(Verdict::without_rules()),
        (None, Some(digest)) => rule_sets::by_digest(digest).map(|set| set.rules.decide(facts)),
    }
}

/// Checks that a grant was created by one recorded decision, which its timeline names.
async fn has_its_decision(fixture: &Fixture, entry: &Entry) -> Result<(), String> {
    let id = &entry.grant.id;
    let decisions = fixture.store.decisions_of(id).await.unwrap();
    let of_kind = |kind| move |stored: &&StoredDecision| stored.decision.kind == kind;
    let created: Vec<_> = decisions.iter().filter(of_kind(DecisionKind::Elevate)).collect();
    let [created] = created.as_slice() else {
        return Err(format!("expected one that created it, found {}", created.len()));
    };
    let Decided { rules, verdict } = &created.decision.enforced;
    if verdict.outcome != Outcome::Allow {
        return Err(format!("it was created by {:?}", verdict.outcome));
    }
    let rows = fixture.store.events(id).await.unwrap();
    let named = rows.iter().find(|row| row.kind == EventKind::PolicyCheck).map(|row| &row.data);
    let text = |name: &str| named.and_then(|data| data.get(name)).map(String::as_str);
    let rules = rules.as_ref().map(|rules| rules.as_str());
    if text("facts") != Some(created.facts_digest.as_str()) || text("rules") != rules {
        return Err(format!("the timeline names another decision: {named:?}"));
    }
    Ok(())
}
