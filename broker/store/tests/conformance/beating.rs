//! Is a holder heard?

use protocol::GrantStatus;
use store::{Beat, Store};

use super::given::{active, agent_id, at, created, ended, grant_id, key, lease};

pub(crate) async fn a_beat_counts_and_leaves_the_version(store: &dyn Store) {
    let before = active(store, "orders", 1, Some(lease(1000))).await;
    let beat = store.beat(&before.grant.id, &agent_id("orders"), &key(1), at(1010)).await.unwrap();
    let Beat::Heard(heard) = beat else { panic!("expected to be heard, found {beat:?}") };
    let found = store.grant(&before.grant.id).await.unwrap().unwrap();
    for stored in [heard, found] {
        assert_eq!((stored.lease, stored.version), (Some(lease(1010)), before.version));
        assert_eq!(stored.grant, before.grant);
    }
    let without = active(store, "orders", 2, None).await;
    let beat = store.beat(&without.grant.id, &agent_id("orders"), &key(2), at(1010)).await.unwrap();
    assert!(matches!(beat, Beat::Heard(stored) if stored.lease.is_none()), "a beat makes no lease");
}

pub(crate) async fn a_beat_never_goes_back_in_time(store: &dyn Store) {
    let id = active(store, "orders", 1, Some(lease(1000))).await.grant.id;
    for (now, last) in [(1010, 1010), (1005, 1010), (1011, 1011)] {
        let beat = store.beat(&id, &agent_id("orders"), &key(1), at(now)).await.unwrap();
        assert!(matches!(beat, Beat::Heard(stored) if stored.lease == Some(lease(last))), "{now}");
    }
}

pub(crate) async fn only_its_holder_beats_for_a_grant(store: &dyn Store) {
    let before = active(store, "orders", 1, Some(lease(1000))).await;
    let unknown = grant_id(9);
    for (id, agent, number) in
        [(&unknown, "orders", 1), (&before.grant.id, "stock", 1), (&before.grant.id, "orders", 2)]
    {
        let beat = store.beat(id, &agent_id(agent), &key(number), at(1010)).await.unwrap();
        assert!(matches!(beat, Beat::Unknown), "{id} {agent} {number}: {beat:?}");
    }
    assert_eq!(store.grant(&before.grant.id).await.unwrap().unwrap().lease, Some(lease(1000)));
}

pub(crate) async fn an_ended_grant_hears_no_beat(store: &dyn Store) {
    let over = ended(store, "orders", 1).await;
    let not_yet = created(store, "orders", 2, Some(lease(1000))).await;
    for (stored, number) in [(over, 1), (not_yet, 2)] {
        let beat = store.beat(&stored.grant.id, &agent_id("orders"), &key(number), at(1010)).await.unwrap();
        assert!(matches!(beat, Beat::Ended(found) if found.grant == stored.grant), "{number}");
        let found = store.grant(&stored.grant.id).await.unwrap().unwrap();
        assert_eq!(found.lease, stored.lease);
        assert_ne!(found.grant.status(), GrantStatus::Active);
    }
}
