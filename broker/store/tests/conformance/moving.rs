//! Is a change made once, and only to what was looked at?

use futures_util::future::join;
use protocol::GrantStatus;
use store::{Guard, SaveOutcome, Store};

use super::given::{active, agent_id, asked_back, at, created, done, key, lease};

pub(crate) async fn a_change_is_read_back(store: &dyn Store) {
    let before = created(store, "orders", 1, Some(lease(1000))).await;
    let moved = before.grant.clone().activate(at(1001), "token issued").unwrap();
    let after = done(store, &before, &moved).await;
    assert!(after.version > before.version);
    let found = store.grant(&before.grant.id).await.unwrap().unwrap();
    for stored in [&after, &found] {
        assert_eq!((&stored.grant, stored.lease), (&moved.grant, Some(lease(1000))));
        assert_eq!(stored.version, after.version);
    }
}

pub(crate) async fn an_older_version_is_not_changed(store: &dyn Store) {
    let before = created(store, "orders", 1, None).await;
    let moved = before.grant.clone().activate(at(1001), "token issued").unwrap();
    let after = done(store, &before, &moved).await;
    let rows = store.events(&before.grant.id).await.unwrap().len();
    let late = asked_back(&before);
    assert!(matches!(store.save(&before, &late, Guard::Version, None).await.unwrap(), SaveOutcome::Conflict));
    let found = store.grant(&before.grant.id).await.unwrap().unwrap();
    assert_eq!((found.grant, found.version), (after.grant, after.version));
    assert_eq!(store.events(&before.grant.id).await.unwrap().len(), rows);
}

pub(crate) async fn one_of_two_changes_wins(store: &dyn Store) {
    for number in 0..20 {
        let before = created(store, "orders", number, None).await;
        let activated = before.grant.clone().activate(at(1001), "token issued").unwrap();
        let ended = asked_back(&before);
        let (one, other) = join(
            store.save(&before, &activated, Guard::Version, None),
            store.save(&before, &ended, Guard::Version, None),
        )
        .await;
        let found = store.grant(&before.grant.id).await.unwrap().unwrap();
        match (one.unwrap(), other.unwrap()) {
            (SaveOutcome::Done(won), SaveOutcome::Conflict) | (SaveOutcome::Conflict, SaveOutcome::Done(won)) => {
                assert_eq!(won.grant, found.grant);
            }
            both => panic!("expected one to win, found {both:?}"),
        }
        assert_eq!(store.events(&before.grant.id).await.unwrap().len(), 3);
    }
}

pub(crate) async fn silence_is_checked_with_the_version(store: &dyn Store) {
    let before = active(store, "orders", 1, Some(lease(1000))).await;
    store.beat(&before.grant.id, &agent_id("orders"), &key(1), at(1020)).await.unwrap();
    let moved = asked_back(&before);
    let late = store.save(&before, &moved, Guard::VersionAndSilence, None).await.unwrap();
    assert!(matches!(late, SaveOutcome::Conflict), "the holder was heard since");
    let again = store.grant(&before.grant.id).await.unwrap().unwrap();
    assert_eq!(again.grant.status(), GrantStatus::Active);
    let done = store.save(&again, &moved, Guard::VersionAndSilence, None).await.unwrap();
    assert!(matches!(done, SaveOutcome::Done(stored) if stored.grant.status() == GrantStatus::Revoking));

    let before = active(store, "orders", 2, Some(lease(1000))).await;
    store.beat(&before.grant.id, &agent_id("orders"), &key(2), at(1020)).await.unwrap();
    let done = store.save(&before, &asked_back(&before), Guard::Version, None).await.unwrap();
    assert!(matches!(done, SaveOutcome::Done(stored) if stored.lease == Some(lease(1020))), "the beat is kept");

    let before = active(store, "orders", 3, None).await;
    let done = store.save(&before, &asked_back(&before), Guard::VersionAndSilence, None).await.unwrap();
    assert!(matches!(done, SaveOutcome::Done(_)), "without a lease there is no silence");
}
