//! Denied requests are on record, each once and for a limited time.

use futures_util::future::join_all;
use protocol::{Denials, GrantStatus};
use store::{
    Created, DENIALS_KEPT, DENIALS_KEPT_FOR, DenialOutcome, DeniedRequest, EventFilter, EventPosition,
    Listing, OriginFilter, Store,
};

use super::fixtures::{
    KEPT, accepted, agent_id, at, created, denied, ended, for_job, grant_id, key, once, refused, request,
};

/// The same request as the one with this number, as another grant.
async fn again(store: &dyn Store, number: u64, id: u64, secs: i64) -> DenialOutcome {
    let mut transition = denied("orders", number, secs);
    transition.grant.id = grant_id(id);
    store
        .record_denied(DeniedRequest { transition: &transition, key: &key(id), replay: None, decision: None })
        .await
        .unwrap()
}

pub(crate) async fn a_denial_is_on_record_and_keeps_no_key(store: &dyn Store) {
    for number in [1, 2] {
        assert_eq!(refused(store, "orders", number).await, DenialOutcome::New);
    }
    let found = store.grant(&grant_id(1)).await.unwrap().unwrap();
    assert_eq!((found.grant.status(), found.lease), (GrantStatus::Denied, None));
    let rows = store.events(&found.grant.id).await.unwrap();
    assert_eq!(audit::verify(&found.grant, &rows), Ok(()));
    assert_eq!(rows.len(), 2);
    assert!(store.grant_by_key(&agent_id("orders"), &key(1)).await.unwrap().is_none());
    created(store, "orders", 3, None).await;
}

pub(crate) async fn the_same_denial_is_counted_on_one_row(store: &dyn Store) {
    assert_eq!(again(store, 1, 1, 1000).await, DenialOutcome::New);
    assert_eq!(again(store, 1, 2, 1060).await, DenialOutcome::Again);
    assert_eq!(again(store, 1, 3, 1030).await, DenialOutcome::Again, "a broker ownership clock is behind");
    assert_eq!(refused(store, "stock", 9).await, DenialOutcome::New);
    let first = store.grant(&grant_id(1)).await.unwrap().unwrap();
    assert_eq!(first.grant.requested_at, at(1000));
    assert_eq!(first.denials, Some(Denials { count: 3, last_at: at(1060) }));
    assert_eq!(store.events(&grant_id(1)).await.unwrap().len(), 2);
    for id in [2, 3] {
        assert!(store.grant(&grant_id(id)).await.unwrap().is_none());
    }
    let listing = Listing { agent: Some(agent_id("orders")), limit: 10, ..Listing::default() };
    let listed = store.list(&listing).await.unwrap();
    assert_eq!(listed.iter().map(|stored| stored.denials).collect::<Vec<_>>(), [first.denials]);
    assert_eq!(store.count_by_status().await.unwrap().get(&GrantStatus::Denied), Some(&2));
}

pub(crate) async fn many_of_the_same_denial_at_once_are_one_row(store: &dyn Store) {
    let recorded = join_all((0..20).map(|id| again(store, 1, 100 + id, 1000))).await;
    assert_eq!(recorded.iter().filter(|recorded| **recorded == DenialOutcome::New).count(), 1);
    assert_eq!(recorded.iter().filter(|recorded| **recorded == DenialOutcome::Again).count(), 19);
    let listed = store.list(&Listing { limit: 30, ..Listing::default() }).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].denials, Some(Denials { count: 20, last_at: at(1000) }));
}

pub(crate) async fn a_denial_consumes_its_token(store: &dyn Store) {
    let deny = async |number, guard| {
        let transition = denied("orders", number, 1000);
        let denying = DeniedRequest {
            transition: &transition,
            key: &key(number),
            replay: Some(&guard),
            decision: None,
        };
        store.record_denied(denying).await.unwrap()
    };
    assert_eq!(deny(1, once("t")).await, DenialOutcome::New);
    assert_eq!(deny(1, once("t")).await, DenialOutcome::Again, "a retry");
    assert_eq!(deny(2, once("t")).await, DenialOutcome::Replayed);
    let create = store
        .create_grant(&accepted(request("orders", 3)), None, Some(&once("t")), None, None)
        .await
        .unwrap();
    assert!(matches!(create, Created::Replayed));
    assert!(store.grant(&grant_id(2)).await.unwrap().is_none());

    assert_eq!(deny(4, for_job("u", "142")).await, DenialOutcome::New);
    assert_eq!(deny(5, for_job("u", "142")).await, DenialOutcome::New, "the same job");
    assert_eq!(deny(6, for_job("u", "143")).await, DenialOutcome::Replayed);
}

pub(crate) async fn two_concurrent_denials_of_a_job_share_its_token(store: &dyn Store) {
    let recorded = join_all((0..8).map(|number| async move {
        let (transition, guard) = (denied("orders", number, 1000), for_job("t", "142"));
        let denying = DeniedRequest {
            transition: &transition,
            key: &key(number),
            replay: Some(&guard),
            decision: None,
        };
        store.record_denied(denying).await.unwrap()
    }))
    .await;
    assert_eq!(recorded, [DenialOutcome::New; 8]);
}

pub(crate) async fn an_agent_has_a_bounded_number_of_denials(store: &dyn Store) {
    for first in (0..DENIALS_KEPT).step_by(50) {
        let more = u64::from(first)..u64::from(first + 50);
        join_all(more.map(|number| refused(store, "orders", number))).await;
    }
    assert_eq!(refused(store, "orders", 5000).await, DenialOutcome::Full);
    assert!(store.grant(&grant_id(5000)).await.unwrap().is_none());
    assert_eq!(refused(store, "orders", 7).await, DenialOutcome::Again, "one of those that are kept");
    assert_eq!(refused(store, "stock", 5001).await, DenialOutcome::New, "another agent's");
}

pub(crate) async fn old_denials_are_deleted_and_nothing_else(store: &dyn Store) {
    let over = |secs| at(secs).plus(DENIALS_KEPT_FOR);
    ended(store, "orders", 50).await;
    created(store, "orders", 51, None).await;
    again(store, 1, 1, 1000).await;
    again(store, 2, 2, 1000).await;
    again(store, 2, 3, 1001).await;

    store.purge(over(999), KEPT).await.unwrap();
    assert!(store.grant(&grant_id(1)).await.unwrap().is_some());
    store.purge(over(1000), KEPT).await.unwrap();
    assert!(store.grant(&grant_id(1)).await.unwrap().is_none());
    assert!(store.events(&grant_id(1)).await.unwrap().is_empty());
    assert!(store.grant(&grant_id(2)).await.unwrap().is_some(), "it came once more");
    assert_eq!(store.count_by_status().await.unwrap().get(&GrantStatus::Denied), Some(&1));

    created(store, "orders", 52, None).await;
    store.purge(over(100_000), KEPT).await.unwrap();
    let left = store.list(&Listing { limit: 10, ..Listing::default() }).await.unwrap();
    let left: Vec<_> = left.iter().map(|stored| stored.grant.id.clone()).collect();
    assert_eq!(left, [grant_id(52), grant_id(51), grant_id(50)], "what was given stays for ever");
    assert!(!store.events(&grant_id(50)).await.unwrap().is_empty());
    assert_eq!(store.count_by_status().await.unwrap().get(&GrantStatus::Denied).copied().unwrap_or(0), 0);
    let origin = OriginFilter { from: Some(at(0)), ..OriginFilter::default() };
    let found = store.list(&Listing { origin, limit: 10, ..Listing::default() }).await.unwrap();
    assert_eq!(found.len(), 3, "by no search is more found");
    assert_eq!(again(store, 1, 4, 200_000).await, DenialOutcome::New);
}

pub(crate) async fn many_denials_are_deleted_in_batches(store: &dyn Store) {
    for (agent, first) in [("orders", 0), ("stock", 600)] {
        for from in (first..first + 600).step_by(50) {
            join_all((from..from + 50).map(|number| refused(store, agent, number))).await;
        }
    }
    created(store, "orders", 2000, None).await;
    store.purge(at(1000).plus(DENIALS_KEPT_FOR), KEPT).await.unwrap();
    let left = store.list(&Listing { limit: 10, ..Listing::default() }).await.unwrap();
    assert_eq!(left.iter().map(|stored| stored.grant.id.clone()).collect::<Vec<_>>(), [grant_id(2000)]);
}

/// A reader that keeps the position of a purged event reads on from there.
pub(crate) async fn positions_of_purged_events_are_not_used_again(store: &dyn Store) {
    refused(store, "orders", 1).await;
    refused(store, "stock", 2).await;
    let read = store.events_after(EventPosition::START, EventFilter::All, 100).await.unwrap();
    let last = read.last().unwrap().position;
    store.purge(at(1000).plus(DENIALS_KEPT_FOR), KEPT).await.unwrap();
    assert!(store.grant(&grant_id(1)).await.unwrap().is_none());

    let made = created(store, "orders", 3, None).await;
    let next = store.events_after(last, EventFilter::All, 100).await.unwrap();
    let next: Vec<_> = next.into_iter().map(|one| one.event).collect();
    assert_eq!(next, store.events(&made.grant.id).await.unwrap());
}
