//! Live grants are decided again, when something changes or when it is time.

use std::collections::BTreeSet;

use domain::{DecisionKind, EndCause};
use protocol::{GrantId, GrantStatus};
use store::{ApplyMode, Created, Due, GrantRecord, NewDecision, Store};

use super::deciding::context;
use super::fixtures::{
    accepted, active, agent_id, apply, asked_back, at, created, decision, done, grant_id, registered,
    request, rules_changed, token, toml,
};

pub(crate) fn due(now: i64, limit: u32) -> Due {
    Due { now: at(now), ready_since: at(0), claimed_until: at(now + 60), limit }
}

async fn claimed(store: &dyn Store, now: i64, limit: u32) -> Vec<GrantRecord> {
    store.claim_due(due(now, limit)).await.unwrap()
}

fn ids(records: &[GrantRecord]) -> BTreeSet<GrantId> {
    records.iter().map(|record| record.grant.id.clone()).collect()
}

fn mark(record: &GrantRecord) -> i64 {
    record.reevaluation.unwrap().mark
}

pub(crate) async fn live_grants_are_marked_and_claimed_in_order(store: &dyn Store) {
    for number in [1, 2] {
        active(store, "orders", number, None).await;
    }
    let applying = created(store, "orders", 3, None).await;
    rules_changed(store, 0, 1003).await;
    active(store, "stock", 4, None).await;
    rules_changed(store, 1, 1005).await;

    let first = store.grant(&grant_id(1)).await.unwrap().unwrap();
    assert_eq!(first.reevaluation.unwrap().at, at(1003), "a marked grant keeps its place");
    assert_eq!(ids(&claimed(store, 1004, 1).await).len(), 1);
    assert_eq!(
        ids(&claimed(store, 1004, 10).await).len(),
        1,
        "one is claimed, one is applying, one is later"
    );
    assert_eq!(ids(&claimed(store, 1005, 10).await), BTreeSet::from([grant_id(4)]));
    assert!(claimed(store, 1006, 10).await.is_empty());

    let applying = store.grant(&applying.grant.id).await.unwrap().unwrap();
    let transition = applying.grant.clone().activate(at(1007), "token issued").unwrap();
    done(store, &applying, &transition).await;
    assert_eq!(ids(&claimed(store, 1008, 10).await), BTreeSet::from([grant_id(3)]));
}

pub(crate) async fn deadlines_come_before_marks(store: &dyn Store) {
    for number in 0..3 {
        active(store, "orders", number, None).await;
    }
    rules_changed(store, 0, 1003).await;
    for number in 10..13 {
        created(store, "orders", number, None).await;
    }
    let first = claimed(store, 1030, 4).await;
    assert!(ids(&first).is_superset(&(10..13).map(grant_id).collect()), "what has to end comes first");
    assert_eq!(first.len(), 4, "marks take what is left");
    assert_eq!(claimed(store, 1030, 4).await.len(), 2);
    // At its deadline a marked grant is one grant.
    let both = claimed(store, 1900, 10).await;
    assert_eq!((both.len(), ids(&both).len()), (6, 6));
}

pub(crate) async fn a_newer_mark_is_not_lost(store: &dyn Store) {
    active(store, "orders", 1, None).await;
    rules_changed(store, 0, 1003).await;
    let first = claimed(store, 1004, 10).await;
    rules_changed(store, 1, 1005).await;
    let again = decision(DecisionKind::ReEvaluation, "orders", 1005);
    assert!(!store.reevaluated(&first[0], mark(&first[0]), Some(&again), None).await.unwrap());
    assert!(store.decisions_of(&grant_id(1)).await.unwrap().is_empty());

    let second = claimed(store, 1006, 10).await;
    assert_eq!(second.len(), 1, "the claim was released");
    assert!(mark(&second[0]) > mark(&first[0]));
    assert!(store.reevaluated(&second[0], mark(&second[0]), Some(&again), Some(at(1500))).await.unwrap());
    let stored = store.decisions_of(&grant_id(1)).await.unwrap();
    assert_eq!(stored.iter().map(|one| &one.decision).collect::<Vec<_>>(), [&again]);
    assert!(claimed(store, 1499, 10).await.is_empty());
    let third = claimed(store, 1500, 10).await;
    assert_eq!(third.len(), 1);
    // A decision that was denied ends the grant with the claim that it has.
    assert!(store.reevaluated(&third[0], mark(&third[0]), None, None).await.unwrap());
    let transition = third[0].grant.clone().end(at(1501), EndCause::Abandoned).unwrap();
    done(store, &third[0], &transition).await;
    assert_eq!(store.decisions_of(&grant_id(1)).await.unwrap().len(), 1);
}

pub(crate) async fn a_driver_that_lost_its_claim_records_nothing(store: &dyn Store) {
    active(store, "orders", 1, None).await;
    rules_changed(store, 0, 1003).await;
    let first = claimed(store, 1004, 10).await;
    let second = claimed(store, 1064, 10).await;
    assert_eq!(second.len(), 1);
    let again = decision(DecisionKind::ReEvaluation, "orders", 1065);
    assert!(!store.reevaluated(&first[0], mark(&first[0]), Some(&again), None).await.unwrap());
    assert!(store.decisions_of(&grant_id(1)).await.unwrap().is_empty());
    assert!(claimed(store, 1065, 10).await.is_empty(), "the claim of the other driver lasts");
    assert!(store.reevaluated(&second[0], mark(&second[0]), Some(&again), None).await.unwrap());
    assert!(claimed(store, 1200, 10).await.is_empty());
}

pub(crate) async fn a_new_registration_marks_the_grants_of_its_agent(store: &dyn Store) {
    for agent in ["orders", "stock"] {
        registered(store, agent, agent, 10).await;
    }
    active(store, "orders", 1, None).await;
    active(store, "stock", 2, None).await;
    registered(store, "orders", "t1", 1002).await;
    assert!(claimed(store, 1002, 10).await.is_empty(), "an unchanged registration");
    apply(store, &toml("orders", "second"), ApplyMode::Replace, &token("orders", "t1", 10), 1003).await;
    assert_eq!(ids(&claimed(store, 1003, 10).await), BTreeSet::from([grant_id(1)]));
    assert_eq!(store.grant(&grant_id(2)).await.unwrap().unwrap().reevaluation, None);
    assert_eq!(store.agent(&agent_id("orders")).await.unwrap().unwrap().revision, 2);
}

pub(crate) async fn an_ending_grant_is_not_decided_again(store: &dyn Store) {
    let before = active(store, "orders", 1, None).await;
    rules_changed(store, 0, 1001).await;
    let ending = done(store, &before, &asked_back(&before)).await;
    assert_eq!((ending.grant.status(), ending.reevaluation), (GrantStatus::Revoking, None));
    rules_changed(store, 1, 1002).await;
    assert_eq!(store.grant(&grant_id(1)).await.unwrap().unwrap().reevaluation, None);
    let transition = ending.grant.clone().gone(at(1003), "refused from now on", None).unwrap();
    done(store, &ending, &transition).await;
    assert!(claimed(store, 9000, 10).await.is_empty());
}

pub(crate) async fn a_scheduled_decision_is_due_in_time(store: &dyn Store) {
    let context = context(store, "orders", None, &[]).await;
    let decision = decision(DecisionKind::Elevate, "orders", 1000);
    let new = NewDecision {
        decision: &decision,
        context: &context,
        reevaluate_at: Some(at(1300)),
        check_run: false,
        check_posture: false,
    };
    let accepted = accepted(request("orders", 1));
    let at_once = accepted.grant.clone().activate(at(1000), "token issued").unwrap();
    let made = store.create_grant(&accepted.then(at_once), None, None, None, Some(&new)).await.unwrap();
    assert!(matches!(made, Created::New(_)));
    assert!(claimed(store, 1299, 10).await.is_empty());
    let claimed = claimed(store, 1300, 10).await;
    assert_eq!(ids(&claimed), BTreeSet::from([grant_id(1)]));
    assert_eq!(claimed[0].reevaluation.unwrap().at, at(1300));
}
