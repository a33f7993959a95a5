//! Is a shared object changed by one at a time, and is it known who needs it?

use domain::grant::Moved;
use domain::{EndCause, Grant, Step};
use futures_util::future::join_all;
use protocol::EnforcedBy;
use store::{Created, Hold, Holding, Store, Stored, Then, To, Whose};

use super::given::{asked_back, at, done, grant_id, refused, request};

pub(super) const OBJECT: &str = "aws:role/deploy:policy/orders";
const OTHER: &str = "aws:role/deploy:policy/stock";

fn step(object: &str, shared: bool) -> Step {
    Step { action: "attach".to_owned(), object: object.to_owned(), data: domain::StepData::default(), shared }
}

fn wanting(number: u64, steps: Vec<Step>) -> Moved {
    Grant::accepted(request("orders", number), at(1000), EnforcedBy::Broker, steps, at(1030))
}

async fn made(store: &dyn Store, number: u64, steps: Vec<Step>) -> Stored {
    match store.create_grant(&wanting(number, steps), None, None, None).await.unwrap() {
        Created::New(stored) => stored,
        other @ (Created::Joined(_)
        | Created::KeyConflict
        | Created::AgentDisabled
        | Created::Cancelled
        | Created::Replayed
        | Created::TooManyActive) => panic!("expected a new grant, found {other:?}"),
    }
}

pub(super) async fn needing(store: &dyn Store, number: u64) -> Stored {
    made(store, number, vec![step(OBJECT, true)]).await
}

pub(super) async fn held(store: &dyn Store, now: i64) -> Hold {
    hold(store, OBJECT, 99, To::Look, now).await.unwrap()
}

pub(super) async fn is_held(store: &dyn Store, now: i64) -> bool {
    hold(store, OBJECT, 99, To::Look, now).await.is_none()
}

pub(super) async fn hold(store: &dyn Store, object: &str, number: u64, to: To, now: i64) -> Option<Hold> {
    let (grant, now, until) = (&grant_id(number), at(now), at(now + 30));
    store.hold_shared(Holding { object, grant, to, now, until }).await.unwrap()
}

pub(super) async fn let_go(store: &dyn Store, hold: &Hold, whose: Whose) {
    assert!(store.note_shared(hold, whose, None, Then::Release).await.unwrap());
}

/// How many others need the object, as this grant sees it.
async fn others(store: &dyn Store, number: u64) -> u32 {
    store.shared_with(OBJECT, &grant_id(number)).await.unwrap()
}

pub(crate) async fn an_object_is_held_by_one_until_it_is_let_go(store: &dyn Store) {
    let mine = held(store, 1000).await;
    assert_eq!((mine.object.as_str(), mine.whose, mine.until), (OBJECT, Whose::Unknown, at(1030)));
    assert!(is_held(store, 1029).await);
    let other = hold(store, OTHER, 99, To::Look, 1000).await;
    assert!(other.is_some(), "another object is another's to hold");

    let ours = Whose::Ours { until: None };
    assert!(store.note_shared(&mine, ours, None, Then::Keep).await.unwrap());
    assert!(is_held(store, 1029).await, "written down, and more to do");
    let_go(store, &mine, ours).await;
    assert_eq!(held(store, 1002).await.whose, ours);
}

pub(crate) async fn one_of_many_that_hold_at_once_gets_it(store: &dyn Store) {
    for round in 0..10 {
        let now = 1000 + 100 * round;
        let tries = join_all((0..8).map(|_| hold(store, OBJECT, 99, To::Look, now))).await;
        let got: Vec<Hold> = tries.into_iter().flatten().collect();
        assert_eq!(got.len(), 1, "round {round}");
    }
}

pub(crate) async fn who_held_it_for_too_long_changes_nothing(store: &dyn Store) {
    let slept = held(store, 1000).await;
    assert!(is_held(store, 1029).await);
    let awake = held(store, 1030).await;
    assert!(awake.fence > slept.fence);

    for then in [Then::Keep, Then::Release] {
        assert!(!store.note_shared(&slept, Whose::Foreign, None, then).await.unwrap());
    }
    assert!(is_held(store, 1031).await, "the one that was overtaken lets nothing go");
    assert!(store.note_shared(&awake, Whose::Ours { until: None }, None, Then::Release).await.unwrap());
    assert!(
        !store.note_shared(&slept, Whose::Foreign, None, Then::Release).await.unwrap(),
        "free, and still not its own"
    );
    assert_eq!(held(store, 1032).await.whose, Whose::Ours { until: None });
}

pub(crate) async fn whose_it_is_is_read_back(store: &dyn Store) {
    for (now, whose) in [
        (1000, Whose::Ours { until: None }),
        (1001, Whose::Ours { until: Some(at(1500)) }),
        (1002, Whose::Foreign),
        (1003, Whose::Unknown),
    ] {
        let hold = held(store, now).await;
        assert!(store.note_shared(&hold, whose, None, Then::Release).await.unwrap());
        let again = held(store, now).await;
        assert_eq!(again.whose, whose);
        assert!(store.note_shared(&again, whose, None, Then::Release).await.unwrap());
    }
}

pub(crate) async fn until_when_it_may_go_is_read_back(store: &dyn Store) {
    let ours = Whose::Ours { until: None };
    for (now, may_go_until) in [(1000, None), (1001, Some(at(1400))), (1002, Some(at(1500))), (1003, None)] {
        let hold = held(store, now).await;
        assert!(store.note_shared(&hold, ours, may_go_until, Then::Release).await.unwrap());
        let again = held(store, now).await;
        assert_eq!((again.whose, again.may_go_until), (ours, may_go_until));
        assert!(store.note_shared(&again, ours, may_go_until, Then::Release).await.unwrap());
    }
}

pub(crate) async fn who_lives_or_is_about_to_needs_it(store: &dyn Store) {
    assert_eq!(others(store, 1).await, 0);
    let first = needing(store, 1).await;
    assert_eq!((others(store, 1).await, others(store, 2).await), (0, 1), "nobody is another to itself");
    let first = done(store, &first, &first.grant.clone().activate(at(1001), "attached").unwrap()).await;
    assert_eq!(others(store, 2).await, 1);
    let second = needing(store, 2).await;
    assert_eq!((others(store, 1).await, others(store, 2).await, others(store, 3).await), (1, 1, 2));

    let ending = done(store, &first, &asked_back(&first)).await;
    assert_eq!(others(store, 2).await, 0, "what is being taken back needs nothing");
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

pub(crate) async fn a_refused_request_and_a_step_of_ones_own_need_nothing(store: &dyn Store) {
    refused(store, "orders", 1).await;
    made(store, 2, vec![step(OBJECT, false), step(OTHER, true)]).await;
    assert_eq!(others(store, 9).await, 0);
    // The same key again, from another request: nothing of it is kept.
    let mut conflict = request("orders", 2);
    (conflict.id, conflict.request_hash) = (grant_id(3), "bb".to_owned());
    let moved = Grant::accepted(conflict, at(1000), EnforcedBy::Broker, vec![step(OBJECT, true)], at(1030));
    assert!(matches!(store.create_grant(&moved, None, None, None).await.unwrap(), Created::KeyConflict));
    assert_eq!(others(store, 9).await, 0);
}

pub(crate) async fn steps_that_were_added_need_it_too(store: &dyn Store) {
    let before = made(store, 1, vec![step("inline", false)]).await;
    assert_eq!(others(store, 2).await, 0);
    let more = vec![step(OBJECT, true), step(OBJECT, true)];
    let moved =
        before.grant.clone().extend(at(1001), more, EnforcedBy::Broker, "full · another way").unwrap();
    let extended = done(store, &before, &moved).await;
    assert_eq!(others(store, 2).await, 1, "one grant, however many of its steps");
    let found = store.grant(&grant_id(1)).await.unwrap().unwrap();
    assert_eq!((found.grant.steps.len(), found.grant.enforced_by), (3, EnforcedBy::Broker));

    // A second save in the same state writes the same needs again.
    let claimed = extended.grant.clone().claimed(at(1090)).unwrap();
    let claimed = done(store, &extended, &claimed).await;
    assert_eq!(others(store, 2).await, 1);
    let active = claimed.grant.clone().activate(at(1002), "attached").unwrap();
    let active = done(store, &claimed, &active).await;
    assert_eq!(others(store, 2).await, 1);
    done(store, &active, &asked_back(&active)).await;
    assert_eq!(others(store, 2).await, 0);
}

/// Nobody but the holder can see "nobody else needs it" become untrue unseen: a need is written with its grant.
pub(crate) async fn a_need_is_seen_as_soon_as_its_grant_is_there(store: &dyn Store) {
    for number in 0..20 {
        needing(store, number).await;
        assert_eq!(u64::from(others(store, 99).await), number + 1);
    }
}
