//! Notifications, and the positions of readers of events.

use futures_util::future::join_all;
use protocol::notifications::{Notification, NotificationKind, NotificationStatus, NotifiedRequest};
use protocol::{NotificationId, Timestamp};
use store::{EventPosition, NOTIFICATIONS_KEPT_FOR, NotificationChange, NotificationListing, Store};

use super::fixtures::{KEPT, at, grant_id};

fn notification(number: u8, channel: &str, due: i64) -> Notification {
    Notification {
        id: NotificationId::new(at(1000 + i64::from(number)), [number; 5]),
        channel: channel.parse().unwrap(),
        kind: NotificationKind::ApprovalRequested,
        agent_id: "deployer".parse().unwrap(),
        policies: vec!["orders-read".parse().unwrap()],
        requests: vec![NotifiedRequest { grant_id: grant_id(number.into()), until: at(5000) }],
        created_at: at(1000),
        due_at: at(due),
        status: NotificationStatus::Pending,
        attempts: 0,
        next_attempt_at: Some(at(due)),
        last_error: Some("found \0 \u{1f4e6}".to_owned()),
        settled_at: None,
    }
}

fn settled(one: &Notification, status: NotificationStatus, now: Timestamp) -> Notification {
    Notification { status, next_attempt_at: None, settled_at: Some(now), ..one.clone() }
}

fn new(one: &Notification) -> NotificationChange {
    NotificationChange { before: None, after: one.clone() }
}

fn change(before: &Notification, after: &Notification) -> NotificationChange {
    NotificationChange { before: Some(before.clone()), after: after.clone() }
}

fn position(number: i64) -> EventPosition {
    EventPosition::from_number(number)
}

async fn add(store: &dyn Store, all: &[&Notification]) {
    for one in all {
        assert!(store.change_notification(&new(one)).await.unwrap());
    }
}

pub(crate) async fn a_reader_goes_on_with_what_it_made_of_events(store: &dyn Store) {
    assert_eq!(store.position_of("notifications").await.unwrap(), EventPosition::START);
    let (first, second) = (notification(1, "security", 2000), notification(2, "security", 2060));
    let start = EventPosition::START;
    let both = [new(&first), new(&second)];
    assert!(store.advance("notifications", start, position(7), &both).await.unwrap());
    assert_eq!(store.position_of("notifications").await.unwrap(), position(7));
    assert_eq!(store.position_of("evidence").await.unwrap(), EventPosition::START);
    let third = notification(3, "security", 2000);
    for from in [start, position(6), position(8)] {
        assert!(!store.advance("notifications", from, position(9), &[new(&third)]).await.unwrap());
    }
    let extended = Notification {
        requests: [&first, &third].map(|one| one.requests[0].clone()).into(),
        ..first.clone()
    };
    let sent = settled(&second, NotificationStatus::Sent, at(2061));
    assert!(store.change_notification(&change(&second, &sent)).await.unwrap());
    let stale = [new(&third), change(&first, &extended), change(&second, &extended)];
    assert!(!store.advance("notifications", position(7), position(9), &stale).await.unwrap());
    assert_eq!(store.position_of("notifications").await.unwrap(), position(7));
    let all = NotificationListing { limit: 10, ..NotificationListing::default() };
    assert_eq!(store.notifications(&all).await.unwrap(), [sent, first.clone()], "nothing of it was stored");
    let fresh = [new(&third), change(&first, &extended)];
    assert!(store.advance("notifications", position(7), position(9), &fresh).await.unwrap());
    assert_eq!(
        store.last_notification(&domain::notification::bundle_of(&first)).await.unwrap().unwrap().due_at,
        at(2060)
    );
}

pub(crate) async fn one_of_many_concurrent_readers_goes_on(store: &dyn Store) {
    let tries: Vec<_> = (1..9)
        .map(|number| {
            let changes = [new(&notification(number, "security", 2000))];
            async move {
                store.advance("notifications", EventPosition::START, position(number.into()), &changes).await
            }
        })
        .collect();
    let done = join_all(tries).await.into_iter().filter(|done| *done.as_ref().unwrap()).count();
    let all = NotificationListing { limit: 10, ..NotificationListing::default() };
    assert_eq!((done, store.notifications(&all).await.unwrap().len()), (1, 1));
}

pub(crate) async fn due_notifications_are_claimed_once_the_longest_due_first(store: &dyn Store) {
    let (late, early, later) =
        (notification(1, "a", 2000), notification(2, "b", 1900), notification(3, "c", 2001));
    add(store, &[&late, &early, &later]).await;
    let due = async |now, limit| store.due_notifications(at(now), limit).await.unwrap();
    assert_eq!(due(1899, 10).await, []);
    assert_eq!(due(2000, 10).await, [early.clone(), late.clone()]);
    assert_eq!(due(2000, 1).await, std::slice::from_ref(&early));
    let claims: Vec<_> = (0..8)
        .map(|number| Notification {
            attempts: 1,
            next_attempt_at: Some(at(2030)),
            last_error: Some(format!("claim {number}")),
            ..early.clone()
        })
        .map(|after| change(&early, &after))
        .collect();
    let claimed = join_all(claims.iter().map(|change| store.change_notification(change))).await;
    assert_eq!(claimed.into_iter().filter(|done| *done.as_ref().unwrap()).count(), 1);
    assert_eq!(due(2000, 10).await, [late]);
    let again = &due(2030, 10).await[2];
    assert_eq!((&again.id, again.attempts), (&early.id, 1), "the claim ended");
}

pub(crate) async fn notifications_are_listed_in_pages_and_by_status(store: &dyn Store) {
    let all: Vec<_> = (1..6).map(|number| notification(number, "security", 2000)).collect();
    add(store, &all.iter().collect::<Vec<_>>()).await;
    let dead = settled(&all[1], NotificationStatus::Dead, at(2001));
    assert!(store.change_notification(&change(&all[1], &dead)).await.unwrap());
    let listed = async |status, after: Option<&Notification>, limit| {
        let after = after.map(|after| after.id.clone());
        let listing = NotificationListing { status, after, limit };
        let found = store.notifications(&listing).await.unwrap();
        found.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    let ids = |numbers: &[usize]| numbers.iter().map(|n| all[n - 1].id.clone()).collect::<Vec<_>>();
    assert_eq!(listed(None, None, 3).await, ids(&[5, 4, 3]));
    assert_eq!(listed(None, Some(&all[2]), 3).await, ids(&[2, 1]));
    assert_eq!(listed(Some(NotificationStatus::Dead), None, 3).await, ids(&[2]));
    assert_eq!(listed(Some(NotificationStatus::Pending), Some(&all[2]), 3).await, ids(&[1]));
}

pub(crate) async fn settled_notifications_are_forgotten_and_pending_ones_are_not(store: &dyn Store) {
    let (pending, sent) = (notification(1, "security", 2000), notification(2, "security", 2000));
    add(store, &[&pending, &sent]).await;
    let now = at(2001);
    let after = settled(&sent, NotificationStatus::Sent, now);
    assert!(store.change_notification(&change(&sent, &after)).await.unwrap());
    let end = now.plus(NOTIFICATIONS_KEPT_FOR);
    let all = NotificationListing { limit: 10, ..NotificationListing::default() };
    store.purge(Timestamp::from_millis(end.as_millis() - 1), KEPT).await.unwrap();
    assert_eq!(store.notifications(&all).await.unwrap().len(), 2);
    store.purge(end, KEPT).await.unwrap();
    assert_eq!(store.notifications(&all).await.unwrap(), [pending]);
}
