//! Due work is claimed by one worker.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::{EndCause, Lease};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use protocol::{GrantId, GrantStatus, Timestamp};
use store::{Due, GrantRecord, Listing, Store};

use super::fixtures::{
    accepted, active, agent_id, asked_back, at, created, done, end, ended, grant_id, key, lease, request,
};

fn due(now: i64, limit: u32) -> Due {
    Due { now: at(now), ready_since: at(0), claimed_until: at(now + 60), limit }
}

fn ids(claimed: &[GrantRecord]) -> BTreeSet<GrantId> {
    claimed.iter().map(|stored| stored.grant.id.clone()).collect()
}

pub(crate) async fn due_grants_are_claimed_once(store: &dyn Store) {
    let applying = created(store, "orders", 1, None).await;
    let holding = active(store, "orders", 2, None).await;
    ended(store, "orders", 3).await;
    assert!(store.claim_due(due(1029, 10)).await.unwrap().is_empty());

    let claimed = store.claim_due(due(1030, 10)).await.unwrap();
    assert_eq!(ids(&claimed), BTreeSet::from([applying.grant.id.clone()]));
    assert!(claimed[0].version > applying.version, "a driver that read it before conflicts");
    assert_eq!(claimed[0].grant, applying.grant);
    assert!(store.claim_due(due(1031, 10)).await.unwrap().is_empty());

    let claimed = store.claim_due(Due { claimed_until: at(9000), ..due(1900, 10) }).await.unwrap();
    assert_eq!(ids(&claimed), BTreeSet::from([applying.grant.id, holding.grant.id]));
}

pub(crate) async fn a_grant_that_starts_active_needs_heartbeats(store: &dyn Store) {
    let accepted = accepted(request("orders", 1));
    let active = accepted.grant.clone().activate(at(1000), "token issued").unwrap();
    let transition = accepted.then(active);
    store.create_grant(&transition, Some(lease(1000)), None, None, None).await.unwrap();
    let rows = store.events(&grant_id(1)).await.unwrap();
    assert_eq!(rows.len(), 3, "the rows of both moves");
    assert!(store.claim_due(due(1029, 10)).await.unwrap().is_empty());
    assert_eq!(ids(&store.claim_due(due(1030, 10)).await.unwrap()), BTreeSet::from([grant_id(1)]));
}

pub(crate) async fn a_claim_ends_in_time_or_with_a_change(store: &dyn Store) {
    created(store, "orders", 1, None).await;
    let first = store.claim_due(due(1030, 10)).await.unwrap();
    assert!(store.claim_due(due(1089, 10)).await.unwrap().is_empty());
    let second = store.claim_due(due(1090, 10)).await.unwrap();
    assert!(second[0].version > first[0].version);

    let transition = second[0].grant.clone().end(at(1091), EndCause::Abandoned).unwrap();
    done(store, &second[0], &transition).await;
    assert!(store.claim_due(due(1095, 10)).await.unwrap().is_empty(), "the claim of the revoke lasts");
    let third = store.claim_due(due(1096, 10)).await.unwrap();
    assert_eq!(third[0].grant.status(), GrantStatus::RollingBack);
    let transition = third[0].grant.clone().gone(at(1097), "nothing was there", None).unwrap();
    done(store, &third[0], &transition).await;
    assert!(store.claim_due(due(9000, 10)).await.unwrap().is_empty(), "what is final is never due");
}

pub(crate) async fn a_claim_takes_no_more_than_its_limit(store: &dyn Store) {
    for number in 0..5 {
        created(store, "orders", number, None).await;
        active(store, "orders", 10 + number, Some(lease(1000))).await;
    }
    let mut seen = BTreeSet::new();
    for expected in [4, 4, 2, 0] {
        let claimed = store.claim_due(due(1030, 4)).await.unwrap();
        assert_eq!(claimed.len(), expected);
        seen.extend(ids(&claimed));
    }
    assert_eq!(seen.len(), 10);
}

pub(crate) async fn concurrent_workers_claim_different_grants(store: &dyn Store) {
    for number in 0..40 {
        created(store, "orders", number, None).await;
    }
    let claims = join_all((0..16).map(|_| store.claim_due(due(1030, 5)))).await;
    let claimed: Vec<_> = claims.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!((claimed.len(), ids(&claimed).len()), (40, 40));
}

pub(crate) async fn only_active_grants_lose_their_lease(store: &dyn Store) {
    let applying = created(store, "orders", 1, Some(lease(900))).await;
    assert!(store.claim_due(due(1029, 10)).await.unwrap().is_empty());
    let transition = applying.grant.clone().activate(at(1001), "token issued").unwrap();
    let silent = done(store, &applying, &transition).await;
    let claimed = store.claim_due(due(1029, 10)).await.unwrap();
    assert_eq!(ids(&claimed), BTreeSet::from([silent.grant.id.clone()]));

    let transition = claimed[0].grant.clone().end(at(1029), EndCause::LeaseLost).unwrap();
    let ending = done(store, &claimed[0], &transition).await;
    let transition = ending.grant.clone().revert_failed(at(1029), "throttled", at(1500)).unwrap();
    done(store, &ending, &transition).await;
    assert!(store.claim_due(due(1499, 10)).await.unwrap().is_empty(), "only its next try counts now");
    assert_eq!(store.claim_due(due(1500, 10)).await.unwrap().len(), 1);
}

pub(crate) async fn a_restarted_broker_waits_for_heartbeats(store: &dyn Store) {
    let quick = Lease::new(Duration::from_secs(5), at(1000));
    for (number, lease) in [(1, Some(lease(1000))), (2, Some(quick)), (3, None)] {
        active(store, "orders", number, lease).await;
    }
    let back = |now| Due { ready_since: at(1500), ..due(now, 10) };
    assert!(store.claim_due(back(1514)).await.unwrap().is_empty());
    store.heartbeat(&grant_id(1), &agent_id("orders"), &key(1), at(1512)).await.unwrap();
    assert_eq!(ids(&store.claim_due(back(1515)).await.unwrap()), BTreeSet::from([grant_id(2)]));
    assert!(store.claim_due(back(1541)).await.unwrap().is_empty());
    assert_eq!(ids(&store.claim_due(back(1542)).await.unwrap()), BTreeSet::from([grant_id(1)]));
}

pub(crate) async fn removal_of_session_denies_is_due_when_sessions_have_expired(store: &dyn Store) {
    let before = active(store, "orders", 1, None).await;
    let ending = done(store, &before, &asked_back(&before)).await;
    let gone = ending.grant.clone().gone(at(1003), "sessions refused", Some(at(5000))).unwrap();
    let over = done(store, &ending, &gone).await;
    let counted = store.count_by_status().await.unwrap();
    assert_eq!(counted.get(&GrantStatus::Revoked), Some(&1));
    for (live, expected) in [(None, 1), (Some(true), 0), (Some(false), 1)] {
        let listing = Listing { live, limit: 10, ..Listing::default() };
        assert_eq!(store.list(&listing).await.unwrap().len(), expected, "{live:?}");
    }

    assert!(store.claim_due(due(4999, 10)).await.unwrap().is_empty());
    let claimed = store.claim_due(due(5000, 10)).await.unwrap();
    assert_eq!((claimed.len(), &claimed[0].grant), (1, &over.grant));
    assert!(store.claim_due(due(5001, 10)).await.unwrap().is_empty(), "somebody is at it");
    let later = claimed[0].grant.clone().session_deny_removed(at(5001), Some(at(6000)), None).unwrap();
    let later = done(store, &claimed[0], &later).await;
    assert!(store.claim_due(due(5999, 10)).await.unwrap().is_empty());
    assert_eq!(store.claim_due(due(6000, 10)).await.unwrap().len(), 1);

    let read = store.grant(&later.grant.id).await.unwrap().unwrap();
    let swept = read.grant.clone().session_deny_removed(at(6001), None, Some("taken away")).unwrap();
    done(store, &read, &swept).await;
    assert!(store.claim_due(due(99_000, 10)).await.unwrap().is_empty(), "nothing is left to do");
    assert_eq!(store.count_by_status().await.unwrap(), counted);
}

/// On a runtime of its own, because the property's cases are not async.
pub(crate) fn leases_are_lost_when_the_domain_says(runtime: &tokio::runtime::Runtime, store: &dyn Store) {
    let number = AtomicU64::new(0);
    // Close to one another, so that both sides of each condition occur often.
    let times = (900_000..1_100_000_i64, 900_000..1_100_000_i64, 1..30_000_u64, 900_000..1_200_000_i64);
    TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })
        .run(&times, |(last_heartbeat, ready_since, every, now)| {
            let [last_heartbeat, ready_since, now] =
                [last_heartbeat, ready_since, now].map(Timestamp::from_millis);
            let lease = Lease::new(Duration::from_millis(every), last_heartbeat);
            let number = number.fetch_add(1, Ordering::Relaxed);
            let (expected, claimed) = runtime.block_on(async {
                let stored = active(store, "orders", number, Some(lease)).await;
                let claimed =
                    store.claim_due(Due { now, ready_since, claimed_until: now, limit: 10 }).await.unwrap();
                end(store, claimed.first().unwrap_or(&stored)).await;
                (lease.lost_at(ready_since) <= now, claimed.len() == 1)
            });
            prop_assert_eq!(claimed, expected);
            Ok(())
        })
        .unwrap();
}
