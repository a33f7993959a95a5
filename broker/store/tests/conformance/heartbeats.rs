//! Heartbeats extend the lease of an active grant.

use protocol::GrantStatus;
use store::{HeartbeatOutcome, Store};

use super::fixtures::{active, agent_id, at, created, ended, grant_id, key, lease};

pub(crate) async fn a_heartbeat_extends_the_lease_and_keeps_the_version(store: &dyn Store) {
    let before = active(store, "orders", 1, Some(lease(1000))).await;
    let beat = store.heartbeat(&before.grant.id, &agent_id("orders"), &key(1), at(1010)).await.unwrap();
    let HeartbeatOutcome::Recorded(heard) = beat else { panic!("expected to be heard, found {beat:?}") };
    let found = store.grant(&before.grant.id).await.unwrap().unwrap();
    for stored in [heard, found] {
        assert_eq!((stored.lease, stored.version), (Some(lease(1010)), before.version));
        assert_eq!(stored.grant, before.grant);
    }
    let without = active(store, "orders", 2, None).await;
    let beat = store.heartbeat(&without.grant.id, &agent_id("orders"), &key(2), at(1010)).await.unwrap();
    assert!(
        matches!(beat, HeartbeatOutcome::Recorded(stored) if stored.lease.is_none()),
        "a beat makes no lease"
    );
}

pub(crate) async fn a_heartbeat_never_goes_back_in_time(store: &dyn Store) {
    let id = active(store, "orders", 1, Some(lease(1000))).await.grant.id;
    for (now, last) in [(1010, 1010), (1005, 1010), (1011, 1011)] {
        let beat = store.heartbeat(&id, &agent_id("orders"), &key(1), at(now)).await.unwrap();
        assert!(
            matches!(beat, HeartbeatOutcome::Recorded(stored) if stored.lease == Some(lease(last))),
            "{now}"
        );
    }
}

pub(crate) async fn a_heartbeat_needs_the_agent_and_the_key(store: &dyn Store) {
    let before = active(store, "orders", 1, Some(lease(1000))).await;
    let unknown = grant_id(9);
    for (id, agent, number) in
        [(&unknown, "orders", 1), (&before.grant.id, "stock", 1), (&before.grant.id, "orders", 2)]
    {
        let beat = store.heartbeat(id, &agent_id(agent), &key(number), at(1010)).await.unwrap();
        assert!(matches!(beat, HeartbeatOutcome::Unknown), "{id} {agent} {number}: {beat:?}");
    }
    assert_eq!(store.grant(&before.grant.id).await.unwrap().unwrap().lease, Some(lease(1000)));
}

pub(crate) async fn a_grant_that_is_not_active_takes_no_heartbeat(store: &dyn Store) {
    let over = ended(store, "orders", 1).await;
    let not_yet = created(store, "orders", 2, Some(lease(1000))).await;
    for (stored, number) in [(over, 1), (not_yet, 2)] {
        let beat =
            store.heartbeat(&stored.grant.id, &agent_id("orders"), &key(number), at(1010)).await.unwrap();
        assert!(matches!(beat, HeartbeatOutcome::Ended(found) if found.grant == stored.grant), "{number}");
        let found = store.grant(&stored.grant.id).await.unwrap().unwrap();
        assert_eq!(found.lease, stored.lease);
        assert_ne!(found.grant.status(), GrantStatus::Active);
    }
}
