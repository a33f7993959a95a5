//! Every way in which a grant ends: deadline, missed heartbeats, a disabled agent, a target that fails to revert.

use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::Revocable;
use protocol::{Actor, EnforcedBy, ErrorCode, EventKind, GrantStatus, IdempotencyKey, RevokeCause, Source};
use targets::Fault;

use crate::fixture::{AGENT, Fixture, Gate, operator, operator_actor};

async fn status(fixture: &Fixture) -> GrantStatus {
    fixture.grants().await.first().unwrap().grant.status()
}

#[tokio::test]
async fn grant_ends_at_its_deadline_with_either_enforcer() {
    for enforced_by in [EnforcedBy::Broker, EnforcedBy::Cloud] {
        let fixture = Fixture::new().await;
        *fixture.cloud.enforced_by.lock().unwrap() = enforced_by;
        let broker = fixture.broker(Gate::open()).await;
        let mut elevation = fixture.elevation(1);
        elevation.request.heartbeat = false;
        let grant = broker.elevate(elevation).await.unwrap().grant;
        fixture.pass_time(899);
        fixture.settle(&broker).await;
        assert_eq!((status(&fixture).await, fixture.objects()), (GrantStatus::Active, 3));
        fixture.pass_time(1);
        fixture.settle(&broker).await;
        fixture.assert_nothing_left("deadline").await;
        let kinds: Vec<EventKind> =
            fixture.timeline(&grant.id).await.events.iter().map(|event| event.kind).collect();
        assert!(kinds.contains(&EventKind::Expire), "{kinds:?}");
    }
}

#[tokio::test]
async fn heartbeats_keep_a_grant_and_never_extend_it() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    let key = IdempotencyKey::from_random([1; 16]);
    for _ in 0..30 {
        fixture.pass_time(29);
        fixture.settle(&broker).await;
        let beaten = broker.heartbeat(Some(&fixture.auth_token), &grant.id, &key).await.unwrap();
        assert_eq!(beaten.expires_at, grant.expires_at);
    }
    fixture.pass_time(30);
    assert_eq!(
        broker.heartbeat(Some(&fixture.auth_token), &grant.id, &key).await.unwrap_err().code,
        ErrorCode::GrantEnded
    );
    fixture.settle(&broker).await;
    fixture.assert_nothing_left("deadline in spite of heartbeats").await;
}

#[tokio::test]
async fn missed_heartbeats_end_a_grant_but_a_broker_outage_does_not() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    broker.elevate(fixture.elevation(1)).await.unwrap();
    fixture.pass_time(29);
    fixture.settle(&broker).await;
    assert_eq!(status(&fixture).await, GrantStatus::Active);

    // The broker is down for five minutes; the client could not send heartbeats.
    fixture.pass_time(300);
    let broker = fixture.broker(Gate::open()).await;
    fixture.settle(&broker).await;
    assert_eq!(status(&fixture).await, GrantStatus::Active, "an outage of the broker ends no grant");
    fixture.pass_time(30);
    fixture.settle(&broker).await;
    fixture.assert_nothing_left("missed heartbeats").await;
}

#[tokio::test]
async fn the_timeline_names_the_operator_who_ended_a_grant() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let revoked = broker.elevate(fixture.elevation(1)).await.unwrap().grant.id;
    let of_agent = broker.elevate(fixture.elevation(2)).await.unwrap().grant.id;
    broker.revoke(&operator(), &Revocable::Id(revoked.clone()), RevokeCause::Asked).await.unwrap();
    let on_call = Actor::Operator { name: "on-call".parse().unwrap() };
    broker.disable_agent(&AGENT.parse().unwrap(), &on_call).await.unwrap();
    for (id, by, text) in [
        (revoked, "release-bot", "ended by operator release-bot"),
        (of_agent, "on-call", "agent disabled by operator on-call"),
    ] {
        let timeline = fixture.timeline(&id).await;
        let row = timeline.events.iter().find(|row| row.kind == EventKind::Revoke).unwrap();
        assert_eq!((row.text.as_str(), row.source), (text, Source::Operator));
        assert_eq!(row.actor, Some(Actor::Operator { name: by.parse().unwrap() }));
        assert!(timeline.intact, "{:?}", timeline.broken);
    }
}

#[tokio::test]
async fn disabling_an_agent_ends_its_grants_and_refuses_new_ones() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    for key in 1..=3 {
        broker.elevate(fixture.elevation(key)).await.unwrap();
    }
    let disabled = broker.disable_agent(&AGENT.parse().unwrap(), &operator_actor()).await.unwrap();
    assert_eq!(disabled.grants_ending, 3);
    fixture.assert_nothing_left("disabled").await;
    assert_eq!(broker.elevate(fixture.elevation(9)).await.unwrap_err().code, ErrorCode::AgentDisabled);
    // The disabled agent can still revoke.
    let caller = broker.caller(Some(&fixture.auth_token)).await.unwrap();
    let key = Revocable::Key(IdempotencyKey::from_random([1; 16]));
    assert!(broker.revoke(&caller, &key, RevokeCause::Asked).await.is_ok());
    broker.enable_agent(&AGENT.parse().unwrap(), &operator_actor()).await.unwrap();
    assert!(broker.elevate(fixture.elevation(10)).await.is_ok());
}

#[tokio::test]
async fn next_broker_finishes_disabling_an_agent_after_a_crash() {
    let mut boundary = 1;
    loop {
        let fixture = Fixture::new().await;
        for key in 1..=2 {
            fixture.broker(Gate::open()).await.elevate(fixture.elevation(key)).await.unwrap();
        }
        let gate = Gate::dying_at(boundary);
        let dying = fixture.broker(gate.clone()).await;
        if gate.run(dying.disable_agent(&AGENT.parse().unwrap(), &operator_actor())).await.is_some() {
            break;
        }
        let broker = fixture.broker(Gate::open()).await;
        // The operator repeats the request that got no answer, or housekeeping ends the grants.
        broker.disable_agent(&AGENT.parse().unwrap(), &operator_actor()).await.unwrap();
        broker.housekeeping().await.unwrap();
        fixture.pass_time(5);
        fixture.settle(&broker).await;
        fixture.assert_nothing_left(&format!("boundary {boundary}")).await;
        boundary += 1;
    }
    assert!(boundary > 8);
}

#[tokio::test]
async fn revert_is_retried_until_the_target_accepts_it() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    fixture.cloud.revert_failures_left.store(60, Ordering::SeqCst);
    let caller = broker.caller(Some(&fixture.auth_token)).await.unwrap();
    let revoked = broker.revoke(&caller, &Revocable::Id(grant.id.clone()), RevokeCause::Asked).await.unwrap();
    assert_eq!(revoked.status, GrantStatus::Revoking, "the revoke is accepted but not finished");
    let mut was_stuck = false;
    for _ in 0..100 {
        fixture.pass_time(60);
        fixture.settle(&broker).await;
        was_stuck |= status(&fixture).await == GrantStatus::RevokeFailing;
    }
    assert!(was_stuck);
    fixture.assert_nothing_left("stuck").await;
    let told = fixture
        .timeline(&grant.id)
        .await
        .events
        .iter()
        .filter(|event| event.kind == EventKind::RevokeFailing)
        .count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn accepted_removal_is_verified_before_it_counts_as_gone() {
    let fixture = Fixture::new().await;
    *fixture.cloud.settles.lock().unwrap() = true;
    let broker = fixture.broker(Gate::open()).await;
    let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    let caller = broker.caller(Some(&fixture.auth_token)).await.unwrap();
    let revoked = broker.revoke(&caller, &Revocable::Id(grant.id.clone()), RevokeCause::Asked).await.unwrap();
    assert_eq!(revoked.status, GrantStatus::Verifying);
    fixture.pass_time(4);
    fixture.settle(&broker).await;
    assert_eq!(status(&fixture).await, GrantStatus::Verifying);
    // A late write creates the object again: verification finds it, and the driver reverts it.
    fixture.cloud.objects.lock().unwrap().insert(format!("{}/policy", grant.id));
    for _ in 0..5 {
        fixture.pass_time(6);
        fixture.settle(&broker).await;
    }
    fixture.assert_nothing_left("settled").await;
}

#[tokio::test]
async fn grant_of_another_agent_is_not_found() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    let other = fixture.register("other-agent").await;
    let stranger = broker.caller(Some(&other)).await.unwrap();
    let by_id = Revocable::Id(grant.id.clone());
    assert_eq!(
        broker.revoke(&stranger, &by_id, RevokeCause::Asked).await.unwrap_err().code,
        ErrorCode::GrantNotFound
    );
    assert_eq!(broker.state(&stranger, &grant.id).await.unwrap_err().code, ErrorCode::GrantNotFound);
    assert_eq!(broker.timeline(&stranger, &grant.id).await.unwrap_err().code, ErrorCode::GrantNotFound);
    let key = IdempotencyKey::from_random([1; 16]);
    assert_eq!(
        broker.heartbeat(Some(&other), &grant.id, &key).await.unwrap_err().code,
        ErrorCode::GrantNotFound
    );
    // Keys belong to one agent: another agent's revoke of the same key does not end this grant.
    let by_key = Revocable::Key(key);
    assert_eq!(
        broker.revoke(&stranger, &by_key, RevokeCause::Asked).await.unwrap_err().code,
        ErrorCode::GrantNotFound
    );
    assert_eq!(broker.state(&operator(), &grant.id).await.unwrap().status, GrantStatus::Active);
}

/// A broker revokes a grant that another broker has changed since: the stored record decides.
#[tokio::test]
async fn revoke_applies_to_a_grant_that_another_broker_changed() {
    let fixture = Fixture::new().await;
    let (broker, other) = (fixture.broker(Gate::open()).await, fixture.broker(Gate::open()).await);
    let exit = || RevokeCause::StepExited(0);

    let told = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    other.elevate(fixture.elevation(1)).await.unwrap();
    broker.revoke(&operator(), &Revocable::Id(told.id.clone()), exit()).await.unwrap();
    let retries = |timeline: &protocol::Timeline| {
        timeline.events.iter().filter(|event| event.kind == EventKind::Retry).count()
    };
    let timeline = fixture.timeline(&told.id).await;
    assert_eq!((retries(&timeline), timeline.intact), (1, true));

    let ended = broker.elevate(fixture.elevation(2)).await.unwrap().grant;
    other.revoke(&operator(), &Revocable::Id(ended.id.clone()), exit()).await.unwrap();
    let again = broker.revoke(&operator(), &Revocable::Id(ended.id.clone()), exit()).await.unwrap();
    assert_eq!(again.status, GrantStatus::Revoked);
    fixture.assert_nothing_left("revoked by two brokers").await;
}

/// The worker finds an abandoned grant; before the worker ends it, a retry activates it.
#[tokio::test]
async fn grant_that_a_retry_activates_is_not_rolled_back_by_a_slow_worker() {
    let fixture = Fixture::new().await;
    let dying = Gate::dying_at(4);
    let broker = fixture.broker(dying.clone()).await;
    assert!(
        dying.run(broker.elevate(fixture.elevation(1))).await.is_none(),
        "the broker dies while it provisions"
    );
    fixture.pass_time(60);

    // Two boundaries of the claim; the third is before the save that ends the grant.
    let slow = Gate::stopping_at(3);
    let worker = fixture.broker(slow.clone()).await;
    let sweeping = tokio::spawn(async move { worker.drive_due().await });
    while !slow.was_reached() {
        tokio::task::yield_now().await;
    }
    let given = fixture.broker(Gate::open()).await.elevate(fixture.elevation(1)).await.unwrap().grant;
    slow.go_on();
    assert_eq!(sweeping.await.unwrap().unwrap(), 1);
    assert_eq!((status(&fixture).await, fixture.objects()), (GrantStatus::Active, 3));
    let rows = fixture.timeline(&given.id).await.events;
    assert!(rows.iter().all(|row| row.kind != EventKind::RollBack), "{rows:?}");
}

#[tokio::test]
async fn retry_joins_its_grant_even_if_the_target_can_no_longer_plan() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    *fixture.cloud.fail_plan.lock().unwrap() = true;
    let again = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    assert_eq!(again.id, grant.id);
    let refused = broker.elevate(fixture.elevation(2)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TargetFailed, "{refused}");
}

#[tokio::test]
async fn independent_steps_are_applied_and_reverted_in_parallel() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let grant = broker.elevate(fixture.elevation(0)).await.unwrap().grant;
    let began = std::mem::take(&mut *fixture.cloud.at_once.lock().unwrap());
    assert_eq!(began, [vec!["make-role"], vec!["make-policy"], vec!["make-policy", "make-binding"]]);
    let caller = broker.caller(Some(&fixture.auth_token)).await.unwrap();
    broker.revoke(&caller, &Revocable::Id(grant.id), RevokeCause::Asked).await.unwrap();
    let most = fixture.cloud.at_once.lock().unwrap().iter().map(Vec::len).max();
    assert_eq!(most, Some(2));
    assert!(fixture.cloud.objects.lock().unwrap().is_empty());
}

#[tokio::test]
async fn steps_after_a_refused_step_are_not_applied() {
    let fixture = Fixture::new().await;
    fixture.cloud.fails_once("make-role", Fault::Refused);
    let broker = fixture.broker(Gate::open()).await;
    let refused = broker.elevate(fixture.elevation(0)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TargetFailed);
    let calls = std::mem::take(&mut *fixture.cloud.at_once.lock().unwrap());
    let applied: Vec<_> = calls.iter().flatten().filter(|call| call.starts_with("make-")).collect();
    assert_eq!(applied, ["make-role"]);
}

#[tokio::test]
async fn only_the_failed_steps_of_a_parallel_batch_are_retried() {
    let fixture = Fixture::new().await;
    fixture.cloud.fails_once("make-policy", Fault::Busy { retry_after: Duration::ZERO });
    let broker = fixture.broker(Gate::open()).await;
    broker.elevate(fixture.elevation(0)).await.unwrap();
    let began = std::mem::take(&mut *fixture.cloud.at_once.lock().unwrap());
    let of_each = |action: &str| began.iter().filter(|calls| calls.last().unwrap() == action).count();
    assert_eq!(["make-role", "make-policy", "make-binding"].map(of_each), [1, 2, 1]);
    assert_eq!(fixture.cloud.objects.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn refused_step_is_not_retried_because_a_parallel_step_may_pass() {
    let fixture = Fixture::new().await;
    fixture.cloud.fails_once("make-policy", Fault::Busy { retry_after: Duration::ZERO });
    *fixture.cloud.fail_apply_of.lock().unwrap() = Some("make-binding".to_owned());
    let broker = fixture.broker(Gate::open()).await;
    let refusal = broker.elevate(fixture.elevation(0)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TargetFailed);
    assert!(refusal.detail.contains("quota exceeded"), "{refusal:?}");
    let began = std::mem::take(&mut *fixture.cloud.at_once.lock().unwrap());
    let tries = began.iter().filter(|calls| calls.last().unwrap() == "make-binding").count();
    assert_eq!(tries, 1);
    assert!(fixture.cloud.objects.lock().unwrap().is_empty());
}

#[tokio::test]
async fn unanswered_call_is_awaited_although_its_neighbour_found_a_fallback() {
    let fixture = Fixture::new().await;
    fixture.cloud.fails_once("make-policy", Fault::Full { retry_after: Duration::ZERO });
    fixture.cloud.fails_once("make-binding", Fault::Unknown);
    let broker = fixture.broker(Gate::open()).await;
    broker.elevate(fixture.elevation(0)).await.unwrap();
    let grant = fixture.grants().await.remove(0).grant;
    assert_eq!(grant.steps.last().unwrap().action, "make-attachment");
    assert!(grant.late_until.is_some(), "{grant:?}");
}
