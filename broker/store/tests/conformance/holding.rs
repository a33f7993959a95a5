//! What is written down of a shared object with the hold, and with the change that lets it go?

use domain::NewEvent;
use domain::grant::Moved;
use protocol::{EventKind, GrantStatus, Timestamp};
use store::{Guard, Hold, Holding, Release, SaveOutcome, Store, Stored, Then, To, Whose};

use super::given::{asked_back, at, done};
use super::sharing::{OBJECT, held, hold, is_held, let_go, needing};

const OURS: Whose = Whose::Ours { until: None };

fn gone_at(secs: i64) -> Whose {
    Whose::Ours { until: Some(at(secs)) }
}

/// Holds it to give it, after this was written down of it.
async fn giving(
    store: &dyn Store,
    before: Whose,
    may_go_until: Option<i64>,
    stored: &Stored,
    now: i64,
) -> Hold {
    let first = held(store, now).await;
    assert!(store.note_shared(&first, before, may_go_until.map(at), Then::Release).await.unwrap());
    let to = To::Give { version: stored.version };
    let (grant, now, until) = (&stored.grant.id, at(now), at(now + 30));
    store.hold_shared(Holding { object: OBJECT, grant, to, now, until }).await.unwrap().unwrap()
}

/// What is written down of it after this hold, which is let go as it was had.
async fn written(store: &dyn Store, hold: &Hold) -> (Whose, Option<Timestamp>) {
    let later = held(store, hold.until.as_millis() / 1000).await;
    let_go(store, &later, Whose::Unknown).await;
    (later.whose, later.may_go_until)
}

pub(crate) async fn what_is_ours_without_a_look_is_written_down_with_the_hold(store: &dyn Store) {
    let mine = needing(store, 1).await;
    for (n, (before, may_go_until, whose)) in [
        (OURS, None, OURS),
        // What is seen may be a late write of ours.
        (gone_at(9_000), None, OURS),
        (gone_at(9_000), Some(1_500), OURS),
        (gone_at(9_000), Some(9_000), gone_at(9_000)),
        (gone_at(1_500), None, gone_at(1_500)),
        (Whose::Foreign, None, Whose::Foreign),
        (Whose::Unknown, None, Whose::Unknown),
    ]
    .into_iter()
    .enumerate()
    {
        let hold = giving(store, before, may_go_until, &mine, 2_000 + 100 * n as i64).await;
        assert_eq!((hold.whose, hold.may_go_until, hold.lasts), (whose, may_go_until.map(at), true), "{n}");
        assert_eq!(written(store, &hold).await, (whose, may_go_until.map(at)), "{n}");
    }
}

pub(crate) async fn what_others_may_have_left_is_ours_until_they_are_gone(store: &dyn Store) {
    let mine = needing(store, 1).await;
    let other = needing(store, 2).await;
    let whose = async |gone: i64, now| {
        let hold = giving(store, gone_at(gone), None, &mine, now).await;
        let_go(store, &hold, Whose::Unknown).await;
        hold.whose
    };
    assert_eq!(whose(1_500, 2_000).await, gone_at(1_500), "it lives: it was not taken back yet");
    let other = done(store, &other, &other.grant.clone().activate(at(1001), "attached").unwrap()).await;
    let ending = done(store, &other, &asked_back(&other)).await;
    assert_eq!(whose(1_500, 2_001).await, OURS, "something of it may land yet");
    assert_eq!(
        whose(1_000, 2_002).await,
        gone_at(1_000),
        "it was asked for when the object was gone for good"
    );
    done(store, &ending, &ending.grant.clone().gone(at(1003), "detached", None).unwrap()).await;
    assert_eq!(whose(1_500, 2_003).await, gone_at(1_500));
}

pub(crate) async fn who_is_overtaken_knows_it_with_the_hold(store: &dyn Store) {
    let mine = needing(store, 1).await;
    let active = done(store, &mine, &mine.grant.clone().activate(at(1001), "attached").unwrap()).await;
    let hold = giving(store, gone_at(9_000), None, &mine, 2_000).await;
    assert_eq!((hold.lasts, hold.whose), (false, gone_at(9_000)));
    let_go(store, &hold, OURS).await;
    assert!(giving(store, OURS, None, &active, 2_001).await.lasts);
}

pub(crate) async fn what_may_go_is_written_down_with_the_hold(store: &dyn Store) {
    let (asked_at, may_go_until) = (at(1000), at(5_000));
    let to = To::TakeBack { asked_at, may_go_until };
    needing(store, 1).await;
    for (n, (before, may_go, goes)) in [
        (OURS, None, Some(5_000)),
        (OURS, Some(4_000), Some(5_000)),
        (OURS, Some(6_000), Some(6_000)),
        (gone_at(1_000), None, Some(5_000)),
        (gone_at(999), None, None),
        (gone_at(999), Some(4_000), None),
        (Whose::Foreign, None, None),
        (Whose::Unknown, None, None),
    ]
    .into_iter()
    .enumerate()
    {
        let now = 2_000 + 100 * n as i64;
        let first = held(store, now).await;
        assert!(store.note_shared(&first, before, may_go.map(at), Then::Release).await.unwrap());
        let mine = hold(store, OBJECT, 1, to, now).await.unwrap();
        assert_eq!((mine.whose, mine.may_go_until), (before, may_go.map(at)), "{n}: as it was");
        assert_eq!((mine.goes, mine.others), (goes.is_some(), 0), "{n}");
        assert_eq!(written(store, &mine).await, (before, goes.or(may_go).map(at)), "{n}");
    }
    needing(store, 2).await;
    let first = held(store, 3_000).await;
    let_go(store, &first, OURS).await;
    let mine = hold(store, OBJECT, 1, to, 3_000).await.unwrap();
    assert_eq!((mine.goes, mine.others), (false, 1), "somebody else needs it");
    assert_eq!(written(store, &mine).await, (OURS, None));
}

pub(crate) async fn an_object_is_let_go_with_a_change(store: &dyn Store) {
    let before = needing(store, 1).await;
    let slept = held(store, 1000).await;
    let mine = held(store, 1030).await;
    let active = before.grant.clone().activate(at(1031), "attached").unwrap();
    let release = |hold: &Hold| Release { hold: hold.clone(), whose: OURS, may_go_until: Some(at(4_000)) };
    let save = async |before: &Stored, moved: &Moved, hold: &Hold| {
        store.save(before, moved, Guard::Version, Some(&release(hold))).await.unwrap()
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
    assert_eq!((again.whose, again.may_go_until), (OURS, Some(at(4_000))));

    assert!(matches!(save(&before, &active, &again).await, SaveOutcome::Conflict));
    assert!(!is_held(store, 1033).await, "let go all the same");
    assert_eq!(store.grant(&after.grant.id).await.unwrap().unwrap().version, after.version);
}

/// Whoever wrote to the timeline meanwhile keeps nobody from a change.
pub(crate) async fn rows_that_came_meanwhile_keep_no_change_from_letting_go(store: &dyn Store) {
    let before = needing(store, 1).await;
    let mine = held(store, 1000).await;
    let row = NewEvent::new(at(1001), EventKind::Target, "throttled · trying again");
    store.add_events(&before.grant.id, &[row]).await.unwrap();
    let active = before.grant.clone().activate(at(1002), "attached").unwrap();
    let release = Release { hold: mine, whose: OURS, may_go_until: None };
    let saved = store.save(&before, &active, Guard::Version, Some(&release)).await.unwrap();
    assert!(matches!(saved, SaveOutcome::Done(_)), "{saved:?}");
    assert_eq!(held(store, 1003).await.whose, OURS);
    let rows = store.events(&before.grant.id).await.unwrap();
    assert!(audit::is_intact(&before.grant.id, &rows));
}
