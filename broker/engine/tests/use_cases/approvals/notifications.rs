//! Channels are told of requests that wait.

use engine::Page;
use protocol::notifications::{Notification, NotificationKind, NotificationStatus};
use serde_json::{Value, json};
use store::NotificationListing;

use super::*;
use crate::fixture::{Received, Receiver};

/// Half of the time in which a request has to be approved.
const HALF_TIME: i64 = 1800;

/// A broker that asks one person, and tells this receiver.
async fn telling(fixture: &Fixture, receiver: &Receiver) -> Arc<Engine> {
    let broker = broker_with(fixture, ONE).await;
    broker.set_channels(vec![receiver.channel("security", "*")]);
    broker
}

async fn listed(fixture: &Fixture, status: Option<NotificationStatus>) -> Vec<Notification> {
    let listing = NotificationListing { status, after: None, limit: 100 };
    fixture.store.notifications(&listing).await.unwrap()
}

/// Another request of the agent, for the same policy.
async fn ask(fixture: &Fixture, broker: &Engine, key: u8) -> Grant {
    let grant = broker.elevate(elevation(fixture, key)).await.unwrap().grant;
    assert_eq!(grant.status, GrantStatus::PendingApproval);
    grant
}

fn ids(message: &Received) -> Vec<&str> {
    let requests = message.body["data"]["requests"].as_array().unwrap();
    requests.iter().map(|request| request["grant"]["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_request_is_told_at_once_with_what_persons_see() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = telling(&fixture, &receiver).await;
    broker.notify().await.unwrap();
    assert_eq!(receiver.received().len(), 0);
    let grant = asked(&fixture, &broker).await;
    broker.notify().await.unwrap();
    broker.notify().await.unwrap();
    let [message] = &receiver.received()[..] else { panic!("{:?}", receiver.received()) };
    assert_eq!(
        (&message.body["type"], ids(message)),
        (&json!("approval.requested"), vec![grant.id.as_str()])
    );
    let data = &message.body["data"];
    assert_eq!((&data["agent_id"], &data["total"]), (&json!(AGENT), &json!(1)));
    let request = &data["requests"][0];
    assert_eq!(request["grant"]["approval"]["digest"], approval(&grant).digest.as_str());
    assert_eq!(request["policies"][0]["meaning"], "token orders:read");
    assert_eq!(request["grant"].get("credentials"), None);
    let sent = &listed(&fixture, Some(NotificationStatus::Sent)).await[0];
    assert_eq!((sent.id.as_str(), sent.attempts, sent.next_attempt_at), (message.id.as_str(), 1, None));
}

#[tokio::test]
async fn requests_of_the_minute_after_a_message_are_one_more_message() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = telling(&fixture, &receiver).await;
    ask(&fixture, &broker, 1).await;
    broker.notify().await.unwrap();
    let mut later = Vec::new();
    for key in 2..5 {
        fixture.pass_time(15);
        later.push(ask(&fixture, &broker, key).await.id);
        broker.notify().await.unwrap();
    }
    assert_eq!(receiver.received().len(), 1);
    fixture.pass_time(15);
    broker.notify().await.unwrap();
    let [_, second] = &receiver.received()[..] else { panic!("{:?}", receiver.received()) };
    assert_eq!(ids(second), later.iter().map(GrantId::as_str).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_about_many_requests_shows_the_first_and_their_number() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = telling(&fixture, &receiver).await;
    for key in 0..25 {
        ask(&fixture, &broker, key).await;
    }
    broker.notify().await.unwrap();
    let [message] = &receiver.received()[..] else { panic!("{:?}", receiver.received()) };
    assert_eq!((ids(message).len(), &message.body["data"]["total"]), (20, &json!(25)));
}

#[tokio::test]
async fn what_still_waits_at_half_time_is_told_again_once() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = telling(&fixture, &receiver).await;
    let approved = ask(&fixture, &broker, 1).await;
    let waits = ask(&fixture, &broker, 2).await;
    broker.notify().await.unwrap();
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    approve(&broker, &alice, &approved).await.unwrap();
    fixture.pass_time(HALF_TIME - 1);
    broker.notify().await.unwrap();
    assert_eq!(receiver.received().len(), 1);
    fixture.pass_time(1);
    for _ in 0..3 {
        broker.notify().await.unwrap();
        fixture.pass_time(500);
    }
    let [_, reminder] = &receiver.received()[..] else { panic!("{:?}", receiver.received()) };
    assert_eq!(reminder.body["type"], "approval.reminder");
    assert_eq!(ids(reminder), [waits.id.as_str()]);
}

#[tokio::test]
async fn what_was_decided_before_it_was_told_needs_no_message() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = telling(&fixture, &receiver).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let first = ask(&fixture, &broker, 1).await;
    approve(&broker, &alice, &first).await.unwrap();
    broker.notify().await.unwrap();
    assert_eq!(listed(&fixture, None).await, [], "it did not wait any more when its event was read");
    ask(&fixture, &broker, 2).await;
    broker.notify().await.unwrap();
    let third = ask(&fixture, &broker, 3).await;
    broker.notify().await.unwrap();
    approve(&broker, &alice, &third).await.unwrap();
    fixture.pass_time(60);
    broker.notify().await.unwrap();
    assert_eq!(receiver.received().len(), 1);
    let not_needed = listed(&fixture, Some(NotificationStatus::NotNeeded)).await;
    assert_eq!(not_needed[0].requests[0].grant_id, third.id);
}

#[tokio::test]
async fn a_request_that_is_asked_again_is_told_again() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = telling(&fixture, &receiver).await;
    let grant = asked(&fixture, &broker).await;
    broker.notify().await.unwrap();
    fixture.pass_time(600);
    apply(&broker, TWO).await;
    fixture.settle(&broker).await;
    broker.notify().await.unwrap();
    let [_, again] = &receiver.received()[..] else { panic!("{:?}", receiver.received()) };
    assert_eq!(ids(again), [grant.id.as_str()]);
    assert_eq!(again.body["data"]["requests"][0]["grant"]["approval"]["quorum"], 2);
    fixture.pass_time(HALF_TIME - 600);
    broker.notify().await.unwrap();
    assert_eq!(receiver.received().len(), 2, "the reminder of the first wait is over");
    fixture.pass_time(600);
    broker.notify().await.unwrap();
    assert_eq!(receiver.received()[2].body["type"], "approval.reminder");
}

#[tokio::test]
async fn a_message_that_is_not_accepted_is_sent_again_with_the_same_id() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let elsewhere = Receiver::start().await;
    let broker = telling(&fixture, &receiver).await;
    asked(&fixture, &broker).await;
    receiver.answers_next(500, None);
    receiver.answers_next(307, Some(("location", elsewhere.url())));
    receiver.answers_next(429, Some(("retry-after", "300")));
    for (wait, attempts, error) in [
        (0, 1, Some("answered with status 500: expected 200 to 299")),
        (4, 1, Some("answered with status 500: expected 200 to 299")),
        (1, 2, Some("answered with status 307: redirects are not followed")),
        (15, 3, Some("answered with status 429: expected 200 to 299")),
        (299, 3, Some("answered with status 429: expected 200 to 299")),
        (1, 4, Some("answered with status 429: expected 200 to 299")),
    ] {
        fixture.pass_time(wait);
        broker.notify().await.unwrap();
        let all = listed(&fixture, None).await;
        let found = all.iter().find(|one| one.kind == NotificationKind::ApprovalRequested).unwrap();
        assert_eq!((found.attempts, found.last_error.as_deref()), (attempts, error), "after {wait} s");
    }
    assert_eq!(listed(&fixture, Some(NotificationStatus::Sent)).await.len(), 1);
    let received = receiver.received();
    assert!(received.iter().all(|one| one.id == received[0].id), "{received:?}");
    assert_eq!(elsewhere.received().len(), 0);
}

#[tokio::test]
async fn a_message_that_was_never_accepted_is_dead_when_nothing_waits_any_more() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = telling(&fixture, &receiver).await;
    let grant = asked(&fixture, &broker).await;
    for _ in 0..100 {
        receiver.answers_next(404, None);
    }
    for _ in 0..3 {
        broker.notify().await.unwrap();
        fixture.pass_time(60);
    }
    assert_eq!(listed(&fixture, Some(NotificationStatus::Dead)).await, [], "the request waits");
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    approve(&broker, &alice, &grant).await.unwrap();
    fixture.pass_time(600);
    broker.notify().await.unwrap();
    let [dead] = &listed(&fixture, Some(NotificationStatus::Dead)).await[..] else { panic!("expected one") };
    assert_eq!(dead.last_error.as_deref(), Some("answered with status 404: expected 200 to 299"));
    let counted = |name| broker.counters().read().iter().find(|(found, ..)| *found == name).unwrap().2;
    assert_eq!(counted("notifications_dead"), 1);
    assert_eq!(counted("notification_failures"), u64::try_from(receiver.received().len()).unwrap());
}

#[tokio::test]
async fn what_a_channel_was_to_be_told_is_given_up_when_it_is_removed() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = telling(&fixture, &receiver).await;
    asked(&fixture, &broker).await;
    receiver.answers_next(500, None);
    broker.notify().await.unwrap();
    broker.set_channels(Vec::new());
    fixture.pass_time(5);
    broker.notify().await.unwrap();
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(listed(&fixture, Some(NotificationStatus::Dead)).await.len(), 1);
}

#[tokio::test]
async fn a_channel_is_told_of_its_agents_and_in_its_form() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let other = Receiver::start().await;
    let broker = broker_with(&fixture, ONE).await;
    let text = r#"{"summary": {{ data.agent_id }}, "first": {{ data.requests[0].grant.id }}}"#;
    broker.set_channels(vec![other.channel("others", "other-*"), receiver.template("pager", text)]);
    let grant = asked(&fixture, &broker).await;
    broker.notify().await.unwrap();
    let bodies: Vec<Value> = receiver.received().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, [json!({"summary": AGENT, "first": grant.id})]);
    assert_eq!(other.received().len(), 0);
}

#[tokio::test]
async fn brokers_that_share_a_database_send_a_message_once() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let first = telling(&fixture, &receiver).await;
    let second = broker(&fixture, Gate::open()).await;
    second.set_channels(vec![receiver.channel("security", "*")]);
    for key in 1..20 {
        ask(&fixture, &first, key).await;
        fixture.pass_time(61);
        let (one, other) = tokio::join!(first.notify(), second.notify());
        one.and(other).unwrap();
        assert_eq!(receiver.received().len(), usize::from(key));
    }
}

#[tokio::test]
async fn a_crash_anywhere_loses_no_message() {
    let mut boundary = 1;
    loop {
        let context = format!("boundary {boundary}");
        let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
        let first = broker_with(&fixture, ONE).await;
        let grant = asked(&fixture, &first).await;
        let gate = Gate::dying_at(boundary);
        let dying = broker(&fixture, gate.clone()).await;
        dying.set_channels(vec![receiver.channel("security", "*")]);
        let done = gate.run(dying.notify()).await.is_some();
        drop(dying);
        first.set_channels(vec![receiver.channel("security", "*")]);
        for _ in 0..3 {
            first.notify().await.unwrap();
            fixture.pass_time(31);
        }
        let received = receiver.received();
        assert!((1..=2).contains(&received.len()), "{context}: {received:?}");
        assert!(received.iter().all(|one| one.id == received[0].id), "{context}: {received:?}");
        assert_eq!(ids(&received[0]), [grant.id.as_str()], "{context}");
        assert_eq!(listed(&fixture, Some(NotificationStatus::Sent)).await.len(), 1, "{context}");
        if done {
            break;
        }
        boundary += 1;
    }
    assert!(boundary > 6, "only {boundary} boundaries were found");
}

#[tokio::test]
async fn persons_see_the_notifications_about_agents_that_they_may_see() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = telling(&fixture, &receiver).await;
    asked(&fixture, &broker).await;
    broker.notify().await.unwrap();
    for (name, team, expected) in [("alice", "payments", 2), ("mallory", "sales", 0)] {
        let session = signed_in(&fixture, &broker, name, team).await;
        let page = broker.notifications(Some(&session), None, None, Page::of(None)).await.unwrap();
        assert_eq!(page.notifications.len(), expected, "{name}: a message and a reminder");
        let mut one_by_one = Vec::new();
        let mut after = None;
        for _ in 0..expected + 1 {
            let page = broker.notifications(Some(&session), None, after, Page::of(Some(1))).await.unwrap();
            one_by_one.extend(page.notifications);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(one_by_one, page.notifications, "{name}");
    }
}
