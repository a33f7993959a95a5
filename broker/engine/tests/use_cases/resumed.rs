//! The driver activates a grant whose request died, as a worker does for a grant that is approved later.

use std::time::Duration;

use engine::{Elevation, Engine, Goal, Outcome};
use protocol::{ErrorCode, EventKind, GrantStatus, Timestamp};
use store::Due;

use crate::fixture::{Fixture, Gate};

/// The duration of an elevation's claim, in seconds.
const CLAIM: i64 = 30;

/// Without a heartbeat, so that an active grant is due at its deadline only.
fn elevation(fixture: &Fixture) -> Elevation {
    let mut elevation = fixture.elevation(1);
    elevation.request.heartbeat = false;
    elevation
}

/// Claims the due grant, as the worker does, and drives it to active.
async fn activate_due(fixture: &Fixture, broker: &Engine) -> Option<Outcome> {
    let now = broker.now();
    let claim = broker.driver().claim_from(now);
    let claimed_until = now.plus(Duration::from_secs(CLAIM.unsigned_abs()));
    let due = Due { now, ready_since: Timestamp::from_millis(0), claimed_until, limit: 10 };
    let record = fixture.store.claim_due(due).await.unwrap().pop()?;
    let goal = Goal::Activate { permit: None, claimed_at: None };
    Some(broker.driver().drive(record, goal, &claim).await.unwrap())
}

async fn activations(fixture: &Fixture) -> usize {
    let id = &fixture.grants().await[0].grant.id;
    let events = fixture.timeline(id).await.events;
    let active = |status: &String| status == "active";
    events.iter().filter(|event| event.data.get("status").is_some_and(active)).count()
}

#[tokio::test]
async fn grant_whose_request_died_is_activated_once_by_the_worker() {
    let mut boundary = 1;
    let mut resumed = 0;
    loop {
        let context = format!("boundary {boundary}");
        let fixture = Fixture::new().await;
        let gate = Gate::dying_at(boundary);
        let dying = fixture.broker(gate.clone()).await;
        if gate.run(dying.elevate(elevation(&fixture))).await.is_some() {
            break;
        }
        boundary += 1;
        fixture.pass_time(CLAIM);
        let broker = fixture.broker(Gate::open()).await;
        // Nothing is due if the request died before it created the grant, or after it activated the grant.
        let Some(outcome) = activate_due(&fixture, &broker).await else { continue };
        let Outcome::Activated { credentials, .. } = outcome else { panic!("{context}: {outcome:?}") };
        assert!(credentials.is_none(), "{context}: credentials without a permit");
        resumed += 1;
        assert_eq!((fixture.objects(), activations(&fixture).await), (3, 1), "{context}");
        assert!(activate_due(&fixture, &broker).await.is_none(), "{context}: nothing is due again");
        // The client retries, joins the grant and gets credentials.
        let joined = broker.elevate(elevation(&fixture)).await.unwrap().grant;
        assert_eq!((joined.status, joined.credentials.is_some()), (GrantStatus::Active, true), "{context}");
        assert_eq!(activations(&fixture).await, 1, "{context}: a retry activates nothing again");
        fixture.pass_time(15 * 60);
        fixture.settle(&broker).await;
        fixture.assert_nothing_left(&context).await;
    }
    assert!(resumed > 5, "only {resumed} requests died while their grant was applying");
}

#[tokio::test]
async fn request_that_was_only_slow_does_not_activate_again() {
    let mut boundary = 1;
    let mut resumed = 0;
    loop {
        let context = format!("boundary {boundary}");
        let fixture = Fixture::new().await;
        let gate = Gate::stopping_at(boundary);
        let slow = fixture.broker(gate.clone()).await;
        let elevation = elevation(&fixture);
        let elevating = tokio::spawn(async move { slow.elevate(elevation).await });
        while !gate.was_reached() && !elevating.is_finished() {
            tokio::task::yield_now().await;
        }
        if elevating.is_finished() {
            break;
        }
        boundary += 1;
        fixture.pass_time(CLAIM);
        let broker = fixture.broker(Gate::open()).await;
        let outcome = activate_due(&fixture, &broker).await;
        gate.go_on();
        let answered = elevating.await.unwrap();
        if let Some(Outcome::Activated { .. }) = outcome {
            resumed += 1;
            match answered {
                Ok(elevated) => assert_eq!(elevated.grant.status, GrantStatus::Active, "{context}"),
                // The claim ended before the next step: the client gets a retryable error.
                Err(refusal) => assert_eq!(refusal.code, ErrorCode::TargetFailed, "{context}"),
            }
            let status = fixture.grants().await[0].grant.status();
            assert_eq!((status, activations(&fixture).await), (GrantStatus::Active, 1), "{context}");
        }
        fixture.pass_time(15 * 60);
        fixture.settle(&broker).await;
        fixture.assert_nothing_left(&context).await;
    }
    assert!(resumed > 5, "only {resumed} requests were slow while their grant was applying");
}

#[tokio::test]
async fn step_that_is_refused_rolls_the_resumed_grant_back() {
    let mut boundary = 1;
    let fixture = loop {
        let fixture = Fixture::new().await;
        let gate = Gate::dying_at(boundary);
        let dying = fixture.broker(gate.clone()).await;
        assert!(gate.run(dying.elevate(elevation(&fixture))).await.is_none());
        if !fixture.grants().await.is_empty() {
            break fixture;
        }
        boundary += 1;
    };
    assert_eq!(fixture.grants().await[0].grant.status(), GrantStatus::Applying);
    *fixture.cloud.fail_apply_of.lock().unwrap() = Some("make-binding".to_owned());
    fixture.pass_time(CLAIM);
    let broker = fixture.broker(Gate::open()).await;
    let outcome = activate_due(&fixture, &broker).await.unwrap();
    assert!(matches!(outcome, Outcome::NotActivated(_)), "{outcome:?}");
    assert_eq!(fixture.objects(), 0);
    // The dead request may have sent a call: the driver rolls back again when no late write is possible.
    fixture.pass_time(10 * 60);
    fixture.settle(&broker).await;
    fixture.assert_nothing_left("refused").await;
    let events = fixture.timeline(&fixture.grants().await[0].grant.id).await.events;
    assert!(events.iter().any(|event| event.kind == EventKind::RollBack));
}
