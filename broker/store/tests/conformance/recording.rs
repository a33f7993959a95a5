//! Decisions are on record, in order and for a limited time.

use domain::DecisionKind;
use futures_util::future::join_all;
use store::{DRY_RUNS_KEPT, DecisionFilter, Store};

use super::fixtures::{KEPT, agent_id, at, created, decision, grant_id};

async fn numbers(store: &dyn Store, after: i64, filter: DecisionFilter<'_>, limit: u32) -> Vec<i64> {
    let found = store.decisions_after(after, filter, limit).await.unwrap();
    found.iter().map(|one| one.number).collect()
}

pub(crate) async fn decisions_are_read_in_order_and_filtered(store: &dyn Store) {
    created(store, "orders", 1, None).await;
    let grant = grant_id(1);
    let mut recorded = Vec::new();
    for (grant, kind, agent, secs) in [
        (Some(&grant), DecisionKind::Credentials, "orders", 1000),
        (None, DecisionKind::DryRun, "stock", 1001),
        (Some(&grant), DecisionKind::ReEvaluation, "orders", 1002),
        (None, DecisionKind::DryRun, "orders", 1003),
    ] {
        let decision = decision(kind, agent, secs);
        recorded.push((store.record_decision(grant, &decision).await.unwrap(), grant.cloned(), decision));
    }
    let all = store.decisions_after(0, DecisionFilter::default(), 10).await.unwrap();
    let read: Vec<_> = all.iter().map(|one| (one.number, one.grant.clone(), one.decision.clone())).collect();
    assert_eq!(read, recorded);
    assert!(all.iter().all(|one| one.facts_digest == audit::facts_digest(&one.decision.facts)));

    let [a, b, c, d] = [0, 1, 2, 3].map(|n: usize| recorded[n].0);
    assert!(a < b && b < c && c < d);
    let orders = agent_id("orders");
    let of_orders = DecisionFilter { agent: Some(&orders), ..DecisionFilter::default() };
    let since = DecisionFilter { since: Some(at(1002)), ..DecisionFilter::default() };
    let dry = DecisionFilter { kinds: &[DecisionKind::DryRun], ..DecisionFilter::default() };
    assert_eq!(numbers(store, 0, of_orders, 10).await, [a, c, d]);
    assert_eq!(numbers(store, 0, since, 10).await, [c, d]);
    assert_eq!(numbers(store, 0, dry, 10).await, [b, d]);
    assert_eq!(numbers(store, 0, DecisionFilter { since: Some(at(9999)), ..dry }, 10).await, [0; 0]);
    assert_eq!(
        numbers(store, 0, DecisionFilter { since: Some(at(1002)), agent: Some(&orders), ..dry }, 9).await,
        [d]
    );
    assert_eq!(numbers(store, a, DecisionFilter::default(), 2).await, [b, c]);
    let of_grant = store.decisions_of(&grant).await.unwrap();
    assert_eq!(of_grant.iter().map(|one| one.number).collect::<Vec<_>>(), [a, c]);
    assert!(store.decisions_of(&grant_id(9)).await.unwrap().is_empty());
}

pub(crate) async fn decisions_that_were_stored_late_are_found_by_their_time(store: &dyn Store) {
    let mut recorded = Vec::new();
    for secs in [1000, 1600, 2004, 2001, 1999, 2002] {
        let decision = decision(DecisionKind::DryRun, "orders", secs);
        recorded.push(store.record_decision(None, &decision).await.unwrap());
    }
    let since = DecisionFilter { since: Some(at(2000)), ..DecisionFilter::default() };
    assert_eq!(numbers(store, 0, since, 10).await, [recorded[2], recorded[3], recorded[5]]);
}

pub(crate) async fn a_decision_needs_its_grant(store: &dyn Store) {
    let decision = decision(DecisionKind::Credentials, "orders", 1000);
    let error = store.record_decision(Some(&grant_id(1)), &decision).await.unwrap_err();
    assert!(error.to_string().contains("grant"), "{error}");
    assert_eq!(numbers(store, 0, DecisionFilter::default(), 10).await, [0; 0]);
}

pub(crate) async fn an_agent_has_a_bounded_number_of_dry_runs(store: &dyn Store) {
    let other = store.record_decision(None, &decision(DecisionKind::DryRun, "stock", 1000)).await.unwrap();
    created(store, "orders", 1, None).await;
    let of_grant = decision(DecisionKind::Credentials, "orders", 1000);
    let of_grant = store.record_decision(Some(&grant_id(1)), &of_grant).await.unwrap();
    let dry_run = decision(DecisionKind::DryRun, "orders", 1000);
    let mut last = 0;
    for _ in 0..DRY_RUNS_KEPT + 2 {
        last = store.record_decision(None, &dry_run).await.unwrap();
    }
    let kept = numbers(store, 0, DecisionFilter::default(), 2 * DRY_RUNS_KEPT).await;
    assert_eq!(kept.len(), DRY_RUNS_KEPT as usize + 2);
    assert_eq!(kept[..2], [other, of_grant]);
    assert_eq!(kept.last(), Some(&last));
    assert_eq!(kept[2], of_grant + 3, "the oldest two are gone");
}

pub(crate) async fn old_decisions_are_deleted_and_their_numbers_not_used_again(store: &dyn Store) {
    let record = async |secs| {
        store.record_decision(None, &decision(DecisionKind::DryRun, "orders", secs)).await.unwrap()
    };
    let (_old, second, last) = (record(1000).await, record(1001).await, record(1002).await);
    store.purge(at(1000).plus(KEPT), KEPT).await.unwrap();
    assert_eq!(numbers(store, 0, DecisionFilter::default(), 10).await, [second, last]);
    store.purge(at(9000).plus(KEPT), KEPT).await.unwrap();
    let next = record(9500).await;
    assert!(next > last);
    assert_eq!(numbers(store, last, DecisionFilter::default(), 10).await, [next]);
    store.purge(at(9000).plus(KEPT), KEPT).await.unwrap();
    assert_eq!(numbers(store, 0, DecisionFilter::default(), 10).await, [next]);
}

pub(crate) async fn many_old_decisions_are_deleted_in_batches(store: &dyn Store) {
    for agent in ["orders", "stock"] {
        let old = decision(DecisionKind::DryRun, agent, 1000);
        for _ in (0..600).step_by(50) {
            join_all((0..50).map(|_| store.record_decision(None, &old))).await;
        }
    }
    let last = store.record_decision(None, &decision(DecisionKind::DryRun, "orders", 5000)).await.unwrap();
    store.purge(at(1000).plus(KEPT), KEPT).await.unwrap();
    assert_eq!(numbers(store, 0, DecisionFilter::default(), 10).await, [last]);
}
