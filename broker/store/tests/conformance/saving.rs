//! A transition is saved once, and only from the state that was read.

use futures_util::future::join;
use protocol::GrantStatus;
use store::{Precondition, SaveOutcome, Store};

use super::fixtures::{active, agent_id, asked_back, at, created, done, key, lease};

pub(crate) async fn a_transition_is_read_back(store: &dyn Store) {
    let before = created(store, "orders", 1, Some(lease(1000))).await;
    let transition = before.grant.clone().activate(at(1001), "token issued").unwrap();
    let after = done(store, &before, &transition).await;
    assert!(after.version > before.version);
    let found = store.grant(&before.grant.id).await.unwrap().unwrap();
    for stored in [&after, &found] {
        assert_eq!((&stored.grant, stored.lease), (&transition.grant, Some(lease(1000))));
        assert_eq!(stored.version, after.version);
    }
}

pub(crate) async fn an_older_version_conflicts(store: &dyn Store) {
    let before = created(store, "orders", 1, None).await;
    let transition = before.grant.clone().activate(at(1001), "token issued").unwrap();
    let after = done(store, &before, &transition).await;
    let rows = store.events(&before.grant.id).await.unwrap().len();
    let late = asked_back(&before);
    assert!(matches!(
        store.save(&before, &late, Precondition::Version, None).await.unwrap(),
        SaveOutcome::Conflict
    ));
    let found = store.grant(&before.grant.id).await.unwrap().unwrap();
    assert_eq!((found.grant, found.version), (after.grant, after.version));
    assert_eq!(store.events(&before.grant.id).await.unwrap().len(), rows);
}

pub(crate) async fn one_of_two_transitions_wins(store: &dyn Store) {
    for number in 0..20 {
        let before = created(store, "orders", number, None).await;
        let activated = before.grant.clone().activate(at(1001), "token issued").unwrap();
        let ended = asked_back(&before);
        let (one, other) = join(
            store.save(&before, &activated, Precondition::Version, None),
            store.save(&before, &ended, Precondition::Version, None),
        )
        .await;
        let found = store.grant(&before.grant.id).await.unwrap().unwrap();
        match (one.unwrap(), other.unwrap()) {
            (SaveOutcome::Done(won), SaveOutcome::Conflict)
            | (SaveOutcome::Conflict, SaveOutcome::Done(won)) => {
                assert_eq!(won.grant, found.grant);
            }
            both => panic!("expected one to win, found {both:?}"),
        }
        assert_eq!(store.events(&before.grant.id).await.unwrap().len(), 3);
    }
}

pub(crate) async fn a_heartbeat_conflicts_with_the_end_of_a_lease(store: &dyn Store) {
    let before = active(store, "orders", 1, Some(lease(1000))).await;
    store.heartbeat(&before.grant.id, &agent_id("orders"), &key(1), at(1020)).await.unwrap();
    let transition = asked_back(&before);
    let late = store.save(&before, &transition, Precondition::VersionAndNoHeartbeat, None).await.unwrap();
    assert!(matches!(late, SaveOutcome::Conflict), "the holder was heard since");
    let again = store.grant(&before.grant.id).await.unwrap().unwrap();
    assert_eq!(again.grant.status(), GrantStatus::Active);
    let done = store.save(&again, &transition, Precondition::VersionAndNoHeartbeat, None).await.unwrap();
    assert!(matches!(done, SaveOutcome::Done(stored) if stored.grant.status() == GrantStatus::Revoking));

    let before = active(store, "orders", 2, Some(lease(1000))).await;
    store.heartbeat(&before.grant.id, &agent_id("orders"), &key(2), at(1020)).await.unwrap();
    let done = store.save(&before, &asked_back(&before), Precondition::Version, None).await.unwrap();
    assert!(
        matches!(done, SaveOutcome::Done(stored) if stored.lease == Some(lease(1020))),
        "the beat is kept"
    );

    let before = active(store, "orders", 3, None).await;
    let done =
        store.save(&before, &asked_back(&before), Precondition::VersionAndNoHeartbeat, None).await.unwrap();
    assert!(matches!(done, SaveOutcome::Done(_)), "without a lease there is no silence");
}
