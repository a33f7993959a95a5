//! Every channel is told, and told again until another person has reviewed.

use serde_json::Value;

use super::*;
use crate::fixture::{Received, Receiver};

fn told(received: &[Received]) -> Vec<(&Value, &Value)> {
    received
        .iter()
        .map(|message| (&message.body["type"], &message.body["data"]["requests"][0]["grant"]))
        .collect()
}

#[tokio::test]
async fn every_channel_is_told_also_one_for_other_agents() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = broker(&fixture).await;
    broker.set_channels(vec![receiver.channel("security", "*"), receiver.channel("billing", "billing-*")]);
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let first = take(&broker, &alice, 1).await.unwrap();
    broker.notify().await.unwrap();
    let second = take(&broker, &alice, 2).await.unwrap();
    broker.notify().await.unwrap();
    broker.notify().await.unwrap();
    let received = receiver.received();
    let ids: Vec<&str> = told(&received).iter().map(|(_, grant)| grant["id"].as_str().unwrap()).collect();
    let (first, second) = (first.id.as_str(), second.id.as_str());
    assert_eq!(ids, [first, first, second, second], "each at once, in a message of its own");
    for (kind, grant) in told(&received) {
        assert_eq!(
            (kind.as_str(), grant["break_glass"]["incident"].as_str()),
            (Some("break_glass.used"), Some("INC-1"))
        );
        assert_eq!((grant["reason"].as_str(), grant.get("credentials")), (Some("orders are lost"), None));
    }
}

#[tokio::test]
async fn a_refused_attempt_is_told_too() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = broker(&fixture).await;
    broker.set_channels(vec![receiver.channel("security", "*")]);
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let mistaken = BreakGlassRequest { policies: vec!["admin".parse().unwrap()], ..request() };
    ask(&broker, &alice, 1, mistaken).await.unwrap_err();
    broker.notify().await.unwrap();
    let received = receiver.received();
    let [(kind, grant)] = told(&received)[..] else { panic!("{received:?}") };
    assert_eq!((kind.as_str(), grant["status"].as_str()), (Some("break_glass.used"), Some("denied")));
}

#[tokio::test]
async fn a_message_that_is_not_accepted_is_tried_for_a_day() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = broker(&fixture).await;
    broker.set_channels(vec![receiver.channel("security", "*")]);
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    for _ in 0..3 {
        receiver.answers_next(500, None);
    }
    take(&broker, &alice, 1).await.unwrap();
    for _ in 0..4 {
        broker.notify().await.unwrap();
        fixture.pass_time(60 * 60);
    }
    assert_eq!(receiver.received().len(), 4);
    take(&broker, &signed_in(&fixture, &broker, "bob", "on-call").await, 2).await.unwrap();
    fixture.pass_time(DAY);
    broker.notify().await.unwrap();
    assert_eq!(receiver.received().len(), 4, "a day later it is no alarm any more");
}

#[tokio::test]
async fn what_is_not_reviewed_is_told_every_day_until_it_is() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let broker = broker(&fixture).await;
    broker.set_channels(vec![receiver.channel("security", "*")]);
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let grant = take(&broker, &alice, 1).await.unwrap();
    revoke(&broker, &alice, &Revocable::Id(grant.id.clone())).await.unwrap();
    let ended = settled(&fixture, &broker, &grant.id).await;
    broker.notify().await.unwrap();
    let until = ended.break_glass.unwrap().review_until.unwrap();
    let left = i64::try_from(until.since(broker.now()).as_secs()).unwrap();
    fixture.pass_time(left - 1);
    fixture.settle(&broker).await;
    broker.notify().await.unwrap();
    assert_eq!(receiver.received().len(), 1);
    fixture.pass_time(1);
    for expected in [2, 3] {
        fixture.settle(&broker).await;
        fixture.settle(&broker).await;
        broker.notify().await.unwrap();
        let received = receiver.received();
        assert_eq!(received.len(), expected);
        assert_eq!(received.last().unwrap().body["type"], "break_glass.review_overdue");
        fixture.pass_time(DAY);
    }
    let carol = signed_in(&fixture, &broker, "carol", "audit").await;
    review(&broker, &carol, &grant.id).await.unwrap();
    for _ in 0..3 {
        fixture.pass_time(DAY);
        fixture.settle(&broker).await;
        broker.notify().await.unwrap();
    }
    assert_eq!(receiver.received().len(), 3);
    let overdue = events(&broker, &grant.id).await;
    let overdue = overdue.iter().filter(|event| event.text.starts_with("not reviewed")).count();
    assert_eq!(overdue, 2);
}
