//! The store records with a lock what its purpose makes certain, and releases locks with a save.

use domain::NewEvent;
use domain::grant::Transition;
use protocol::{EventKind, GrantStatus, Timestamp};
use store::{
    AfterUpdate, GrantRecord, LockPurpose, LockRequest, Ownership, Precondition, Release, ResourceLock,
    SaveOutcome, Store,
};

use super::fixtures::{asked_back, at, done};
use super::references::{OBJECT, held, is_held, let_go, lock, needing};

const OURS: Ownership = Ownership::Managed { write_may_land_until: None };

fn gone_at(secs: i64) -> Ownership {
    Ownership::Managed { write_may_land_until: Some(at(secs)) }
}

/// Locks the object to attach it, after this was recorded of it.
async fn giving(
    store: &dyn Store,
    before: Ownership,
    delete_may_land_until: Option<i64>,
    stored: &GrantRecord,
    now: i64,
) -> ResourceLock {
    let first = held(store, now).await;
    assert!(
        store
            .update_shared_object(&first, before, delete_may_land_until.map(at), AfterUpdate::ReleaseLock)
            .await
            .unwrap()
    );
    let purpose = LockPurpose::Attach { version: stored.version };
    let (grant, now, until) = (&stored.grant.id, at(now), at(now + 30));
    store
        .lock_shared_object(LockRequest { object: OBJECT, grant, purpose, now, until })
        .await
        .unwrap()
        .unwrap()
}

/// The recorded state of the object after this lock, which is released unchanged.
async fn written(store: &dyn Store, lock: &ResourceLock) -> (Ownership, Option<Timestamp>) {
    let later = held(store, lock.until.as_millis() / 1000).await;
    let_go(store, &later, Ownership::Unknown).await;
    (later.ownership, later.delete_may_land_until)
}

pub(crate) async fn attaching_within_the_late_write_window_is_recorded_with_the_lock(store: &dyn Store) {
    let mine = needing(store, 1).await;
    for (n, (before, delete_may_land_until, ownership)) in [
        (OURS, None, OURS),
        // The observed object may be a late write.
        (gone_at(9_000), None, OURS),
        (gone_at(9_000), Some(1_500), OURS),
        (gone_at(9_000), Some(9_000), gone_at(9_000)),
        (gone_at(1_500), None, gone_at(1_500)),
        (Ownership::Foreign, None, Ownership::Foreign),
        (Ownership::Unknown, None, Ownership::Unknown),
    ]
    .into_iter()
    .enumerate()
    {
        let lock = giving(store, before, delete_may_land_until, &mine, 2_000 + 100 * n as i64).await;
        assert_eq!(
            (lock.ownership, lock.delete_may_land_until, lock.grant_is_current),
            (ownership, delete_may_land_until.map(at), true),
            "{n}"
        );
        assert_eq!(written(store, &lock).await, (ownership, delete_may_land_until.map(at)), "{n}");
    }
}

pub(crate) async fn objects_of_ending_grants_stay_managed(store: &dyn Store) {
    let mine = needing(store, 1).await;
    let other = needing(store, 2).await;
    let ownership = async |gone: i64, now| {
        let lock = giving(store, gone_at(gone), None, &mine, now).await;
        let_go(store, &lock, Ownership::Unknown).await;
        lock.ownership
    };
    assert_eq!(
        ownership(1_500, 2_000).await,
        gone_at(1_500),
        "the grant is live: its step was not reverted yet"
    );
    let other = done(store, &other, &other.grant.clone().activate(at(1001), "attached").unwrap()).await;
    let ending = done(store, &other, &asked_back(&other)).await;
    assert_eq!(ownership(1_500, 2_001).await, OURS, "something of it may land yet");
    assert_eq!(
        ownership(1_000, 2_002).await,
        gone_at(1_000),
        "it was asked for when the object was gone for good"
    );
    done(store, &ending, &ending.grant.clone().gone(at(1003), "detached", None).unwrap()).await;
    assert_eq!(ownership(1_500, 2_003).await, gone_at(1_500));
}

pub(crate) async fn a_lock_tells_whether_the_grant_is_current(store: &dyn Store) {
    let mine = needing(store, 1).await;
    let active = done(store, &mine, &mine.grant.clone().activate(at(1001), "attached").unwrap()).await;
    let lock = giving(store, gone_at(9_000), None, &mine, 2_000).await;
    assert_eq!((lock.grant_is_current, lock.ownership), (false, gone_at(9_000)));
    let_go(store, &lock, OURS).await;
    assert!(giving(store, OURS, None, &active, 2_001).await.grant_is_current);
}

pub(crate) async fn a_late_delete_is_recorded_with_the_lock(store: &dyn Store) {
    let (asked_at, delete_may_land_until) = (at(1000), at(5_000));
    let purpose = LockPurpose::Detach { asked_at, delete_may_land_until };
    needing(store, 1).await;
    for (n, (before, may_go, goes)) in [
        (OURS, None, Some(5_000)),
        (OURS, Some(4_000), Some(5_000)),
        (OURS, Some(6_000), Some(6_000)),
        (gone_at(1_000), None, Some(5_000)),
        (gone_at(999), None, None),
        (gone_at(999), Some(4_000), None),
        (Ownership::Foreign, None, None),
        (Ownership::Unknown, None, None),
    ]
    .into_iter()
    .enumerate()
    {
        let now = 2_000 + 100 * n as i64;
        let first = held(store, now).await;
        assert!(
            store
                .update_shared_object(&first, before, may_go.map(at), AfterUpdate::ReleaseLock)
                .await
                .unwrap()
        );
        let mine = lock(store, OBJECT, 1, purpose, now).await.unwrap();
        assert_eq!((mine.ownership, mine.delete_may_land_until), (before, may_go.map(at)), "{n}: as it was");
        assert_eq!((mine.delete_recorded, mine.others), (goes.is_some(), 0), "{n}");
        assert_eq!(written(store, &mine).await, (before, goes.or(may_go).map(at)), "{n}");
    }
    needing(store, 2).await;
    let first = held(store, 3_000).await;
    let_go(store, &first, OURS).await;
    let mine = lock(store, OBJECT, 1, purpose, 3_000).await.unwrap();
    assert_eq!((mine.delete_recorded, mine.others), (false, 1), "another grant references it");
    assert_eq!(written(store, &mine).await, (OURS, None));
}

pub(crate) async fn a_lock_is_released_with_a_save(store: &dyn Store) {
    let before = needing(store, 1).await;
    let slept = held(store, 1000).await;
    let mine = held(store, 1030).await;
    let active = before.grant.clone().activate(at(1031), "attached").unwrap();
    let release = |lock: &ResourceLock| Release {
        lock: lock.clone(),
        ownership: OURS,
        delete_may_land_until: Some(at(4_000)),
    };
    let save = async |before: &GrantRecord, transition: &Transition, lock: &ResourceLock| {
        store.save(before, transition, Precondition::Version, Some(&release(lock))).await.unwrap()
    };

    assert!(matches!(save(&before, &active, &slept).await, SaveOutcome::LockLost));
    assert!(is_held(store, 1031).await);
    let SaveOutcome::Done(after) = save(&before, &active, &mine).await else { panic!("not done") };
    assert_eq!((after.version, after.grant.status()), (before.version + 1, GrantStatus::Active));
    let found = store.grant(&after.grant.id).await.unwrap().unwrap();
    assert_eq!((found.version, found.grant), (after.version, after.grant.clone()));
    assert_eq!(
        store.events(&after.grant.id).await.unwrap().last().map(|row| row.kind),
        Some(EventKind::Target)
    );
    let again = held(store, 1032).await;
    assert_eq!((again.ownership, again.delete_may_land_until), (OURS, Some(at(4_000))));

    assert!(matches!(save(&before, &active, &again).await, SaveOutcome::Conflict));
    assert!(!is_held(store, 1033).await, "the lock is released all the same");
    assert_eq!(store.grant(&after.grant.id).await.unwrap().unwrap().version, after.version);
}

/// Events that were appended meanwhile do not prevent the save.
pub(crate) async fn events_appended_meanwhile_do_not_prevent_a_release(store: &dyn Store) {
    let before = needing(store, 1).await;
    let mine = held(store, 1000).await;
    let row = NewEvent::new(at(1001), EventKind::Target, "throttled · trying again");
    store.add_events(&before.grant.id, &[row]).await.unwrap();
    let active = before.grant.clone().activate(at(1002), "attached").unwrap();
    let release = Release { lock: mine, ownership: OURS, delete_may_land_until: None };
    let saved = store.save(&before, &active, Precondition::Version, Some(&release)).await.unwrap();
    assert!(matches!(saved, SaveOutcome::Done(_)), "{saved:?}");
    assert_eq!(held(store, 1003).await.ownership, OURS);
    let rows = store.events(&before.grant.id).await.unwrap();
    assert!(audit::is_intact(&before.grant.id, &rows));
}
