//! A shared object has one lock, and its references are known.

use domain::grant::Transition;
use domain::{EndCause, Grant, Step};
use futures_util::future::join_all;
use protocol::EnforcedBy;
use store::{AfterUpdate, Created, GrantRecord, LockPurpose, LockRequest, Ownership, ResourceLock, Store};

use super::fixtures::{asked_back, at, done, grant_id, is_new, refused, request};

pub(super) const OBJECT: &str = "aws:role/deploy:policy/orders";
const OTHER: &str = "aws:role/deploy:policy/stock";

fn step(object: &str, shared: bool) -> Step {
    Step { action: "attach".to_owned(), object: object.to_owned(), data: domain::StepData::default(), shared }
}

fn wanting(number: u64, steps: Vec<Step>) -> Transition {
    Grant::accepted(request("orders", number), at(1000), EnforcedBy::Broker, steps, at(1030))
}

async fn made(store: &dyn Store, number: u64, steps: Vec<Step>) -> GrantRecord {
    is_new(store.create_grant(&wanting(number, steps), None, None, None, None).await.unwrap())
}

pub(super) async fn needing(store: &dyn Store, number: u64) -> GrantRecord {
    made(store, number, vec![step(OBJECT, true)]).await
}

pub(super) async fn held(store: &dyn Store, now: i64) -> ResourceLock {
    lock(store, OBJECT, 99, LockPurpose::Inspect, now).await.unwrap()
}

pub(super) async fn is_held(store: &dyn Store, now: i64) -> bool {
    lock(store, OBJECT, 99, LockPurpose::Inspect, now).await.is_none()
}

pub(super) async fn lock(
    store: &dyn Store,
    object: &str,
    number: u64,
    purpose: LockPurpose,
    now: i64,
) -> Option<ResourceLock> {
    let (grant, now, until) = (&grant_id(number), at(now), at(now + 30));
    store.lock_shared_object(LockRequest { object, grant, purpose, now, until }).await.unwrap()
}

pub(super) async fn let_go(store: &dyn Store, lock: &ResourceLock, ownership: Ownership) {
    assert!(store.update_shared_object(lock, ownership, None, AfterUpdate::ReleaseLock).await.unwrap());
}

/// How many other grants reference the object.
async fn others(store: &dyn Store, number: u64) -> u32 {
    store.other_references(OBJECT, &grant_id(number)).await.unwrap()
}

pub(crate) async fn a_lock_is_exclusive_until_it_is_released(store: &dyn Store) {
    let mine = held(store, 1000).await;
    assert_eq!((mine.object.as_str(), mine.ownership, mine.until), (OBJECT, Ownership::Unknown, at(1030)));
    assert!(is_held(store, 1029).await);
    let other = lock(store, OTHER, 99, LockPurpose::Inspect, 1000).await;
    assert!(other.is_some(), "another object has another lock");

    let ours = Ownership::Managed { write_may_land_until: None };
    assert!(store.update_shared_object(&mine, ours, None, AfterUpdate::KeepLock).await.unwrap());
    assert!(is_held(store, 1029).await, "recorded, and the lock is kept");
    let_go(store, &mine, ours).await;
    assert_eq!(held(store, 1002).await.ownership, ours);
}

pub(crate) async fn one_of_many_concurrent_requests_gets_the_lock(store: &dyn Store) {
    for round in 0..10 {
        let now = 1000 + 100 * round;
        let tries = join_all((0..8).map(|_| lock(store, OBJECT, 99, LockPurpose::Inspect, now))).await;
        let got: Vec<ResourceLock> = tries.into_iter().flatten().collect();
        assert_eq!(got.len(), 1, "round {round}");
    }
}

pub(crate) async fn an_update_with_an_old_fencing_token_changes_nothing(store: &dyn Store) {
    let slept = held(store, 1000).await;
    assert!(is_held(store, 1029).await);
    let awake = held(store, 1030).await;
    assert!(awake.fencing_token > slept.fencing_token);

    for then in [AfterUpdate::KeepLock, AfterUpdate::ReleaseLock] {
        assert!(!store.update_shared_object(&slept, Ownership::Foreign, None, then).await.unwrap());
    }
    assert!(is_held(store, 1031).await, "the one that was overtaken lets nothing go");
    assert!(
        store
            .update_shared_object(
                &awake,
                Ownership::Managed { write_may_land_until: None },
                None,
                AfterUpdate::ReleaseLock
            )
            .await
            .unwrap()
    );
    assert!(
        !store
            .update_shared_object(&slept, Ownership::Foreign, None, AfterUpdate::ReleaseLock)
            .await
            .unwrap(),
        "free, and still not its own"
    );
    assert_eq!(held(store, 1032).await.ownership, Ownership::Managed { write_may_land_until: None });
}

pub(crate) async fn ownership_is_read_back(store: &dyn Store) {
    for (now, ownership) in [
        (1000, Ownership::Managed { write_may_land_until: None }),
        (1001, Ownership::Managed { write_may_land_until: Some(at(1500)) }),
        (1002, Ownership::Foreign),
        (1003, Ownership::Unknown),
    ] {
        let lock = held(store, now).await;
        assert!(store.update_shared_object(&lock, ownership, None, AfterUpdate::ReleaseLock).await.unwrap());
        let again = held(store, now).await;
        assert_eq!(again.ownership, ownership);
        assert!(store.update_shared_object(&again, ownership, None, AfterUpdate::ReleaseLock).await.unwrap());
    }
}

pub(crate) async fn a_late_delete_is_read_back(store: &dyn Store) {
    let ours = Ownership::Managed { write_may_land_until: None };
    for (now, delete_may_land_until) in
        [(1000, None), (1001, Some(at(1400))), (1002, Some(at(1500))), (1003, None)]
    {
        let lock = held(store, now).await;
        assert!(
            store
                .update_shared_object(&lock, ours, delete_may_land_until, AfterUpdate::ReleaseLock)
                .await
                .unwrap()
        );
        let again = held(store, now).await;
        assert_eq!((again.ownership, again.delete_may_land_until), (ours, delete_may_land_until));
        assert!(
            store
                .update_shared_object(&again, ours, delete_may_land_until, AfterUpdate::ReleaseLock)
                .await
                .unwrap()
        );
    }
}

pub(crate) async fn applying_and_active_grants_count_as_references(store: &dyn Store) {
    assert_eq!(others(store, 1).await, 0);
    let first = needing(store, 1).await;
    assert_eq!(
        (others(store, 1).await, others(store, 2).await),
        (0, 1),
        "a grant is no other reference to itself"
    );
    let first = done(store, &first, &first.grant.clone().activate(at(1001), "attached").unwrap()).await;
    assert_eq!(others(store, 2).await, 1);
    let second = needing(store, 2).await;
    assert_eq!((others(store, 1).await, others(store, 2).await, others(store, 3).await), (1, 1, 2));

    let ending = done(store, &first, &asked_back(&first)).await;
    assert_eq!(others(store, 2).await, 0, "a grant that is being revoked has no reference");
    let gone = ending.grant.clone().gone(at(1003), "detached", None).unwrap();
    done(store, &ending, &gone).await;
    assert_eq!(others(store, 2).await, 0);

    let undoing = second.grant.clone().end(at(1030), EndCause::Abandoned).unwrap();
    let undoing = done(store, &second, &undoing).await;
    assert_eq!(others(store, 3).await, 0);
    let failed = undoing.grant.clone().gone(at(1031), "nothing was there", None).unwrap();
    done(store, &undoing, &failed).await;
    assert_eq!(others(store, 3).await, 0);
}

pub(crate) async fn refused_requests_and_unshared_steps_are_no_references(store: &dyn Store) {
    refused(store, "orders", 1).await;
    made(store, 2, vec![step(OBJECT, false), step(OTHER, true)]).await;
    assert_eq!(others(store, 9).await, 0);
    // The same key again, from another request: nothing of it is kept.
    let mut conflict = request("orders", 2);
    (conflict.id, conflict.request_hash) = (grant_id(3), "bb".to_owned());
    let transition =
        Grant::accepted(conflict, at(1000), EnforcedBy::Broker, vec![step(OBJECT, true)], at(1030));
    assert!(matches!(
        store.create_grant(&transition, None, None, None, None).await.unwrap(),
        Created::KeyConflict
    ));
    assert_eq!(others(store, 9).await, 0);
}

pub(crate) async fn added_steps_are_references(store: &dyn Store) {
    let before = made(store, 1, vec![step("inline", false)]).await;
    assert_eq!(others(store, 2).await, 0);
    let more = vec![step(OBJECT, true), step(OBJECT, true)];
    let transition =
        before.grant.clone().extend(at(1001), more, EnforcedBy::Broker, "full · another way").unwrap();
    let extended = done(store, &before, &transition).await;
    assert_eq!(others(store, 2).await, 1, "one grant, however many of its steps");
    let found = store.grant(&grant_id(1)).await.unwrap().unwrap();
    assert_eq!((found.grant.steps.len(), found.grant.enforced_by), (3, EnforcedBy::Broker));

    // A second save in the same state writes the same references again.
    let claimed = extended.grant.clone().claim(at(1090)).unwrap();
    let claimed = done(store, &extended, &claimed).await;
    assert_eq!(others(store, 2).await, 1);
    let active = claimed.grant.clone().activate(at(1002), "attached").unwrap();
    let active = done(store, &claimed, &active).await;
    assert_eq!(others(store, 2).await, 1);
    done(store, &active, &asked_back(&active)).await;
    assert_eq!(others(store, 2).await, 0);
}

/// References are written with the grant, so a driver with the lock cannot miss one.
pub(crate) async fn a_reference_is_counted_as_soon_as_its_grant_exists(store: &dyn Store) {
    for number in 0..20 {
        needing(store, number).await;
        assert_eq!(u64::from(others(store, 99).await), number + 1);
    }
}
