//! Every way in which a grant ends, by the clock: deadline, silence, an agent switched off, a target that will
//! not let go.

use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::Revocable;
use protocol::{EnforcedBy, ErrorCode, EventKind, GrantStatus, IdempotencyKey, RevokeCause, Source};
use targets::Fault;

use crate::world::{AGENT, Gate, World, operator, operator_name};

async fn status(world: &World) -> GrantStatus {
    world.grants().await.first().unwrap().grant.status()
}

#[tokio::test]
async fn at_the_deadline_a_grant_ends_whoever_enforces_it() {
    for enforced_by in [EnforcedBy::Broker, EnforcedBy::Cloud] {
        let world = World::new().await;
        *world.cloud.enforced_by.lock().unwrap() = enforced_by;
        let broker = world.broker(Gate::open()).await;
        let mut elevation = world.elevation(1);
        elevation.request.heartbeat = false;
        let grant = broker.elevate(elevation).await.unwrap().grant;
        world.pass_time(899);
        world.settle(&broker).await;
        assert_eq!((status(&world).await, world.objects()), (GrantStatus::Active, 3));
        world.pass_time(1);
        world.settle(&broker).await;
        world.assert_nothing_left("deadline").await;
        let kinds: Vec<EventKind> =
            world.timeline(&grant.id).await.events.iter().map(|event| event.kind).collect();
        assert!(kinds.contains(&EventKind::Expire), "{kinds:?}");
    }
}

#[tokio::test]
async fn a_beat_keeps_a_grant_and_never_lengthens_it() {
    let world = World::new().await;
    let broker = world.broker(Gate::open()).await;
    let grant = broker.elevate(world.elevation(1)).await.unwrap().grant;
    let key = IdempotencyKey::from_random([1; 16]);
    for _ in 0..30 {
        world.pass_time(29);
        world.settle(&broker).await;
        let beaten = broker.heartbeat(Some(&world.auth_token), &grant.id, &key).await.unwrap();
        assert_eq!(beaten.expires_at, grant.expires_at);
    }
    world.pass_time(30);
    assert_eq!(
        broker.heartbeat(Some(&world.auth_token), &grant.id, &key).await.unwrap_err().code,
        ErrorCode::GrantEnded
    );
    world.settle(&broker).await;
    world.assert_nothing_left("deadline in spite of beats").await;
}

#[tokio::test]
async fn a_silent_holder_loses_the_grant_and_our_outage_is_not_silence() {
    let world = World::new().await;
    let broker = world.broker(Gate::open()).await;
    broker.elevate(world.elevation(1)).await.unwrap();
    world.pass_time(29);
    world.settle(&broker).await;
    assert_eq!(status(&world).await, GrantStatus::Active);

    // The broker is away for five minutes; nobody could beat.
    world.pass_time(300);
    let broker = world.broker(Gate::open()).await;
    world.settle(&broker).await;
    assert_eq!(status(&world).await, GrantStatus::Active, "cut off by our own outage");
    world.pass_time(30);
    world.settle(&broker).await;
    world.assert_nothing_left("silence").await;
}

#[tokio::test]
async fn the_timeline_names_the_operator_who_ended_a_grant() {
    let world = World::new().await;
    let broker = world.broker(Gate::open()).await;
    let revoked = broker.elevate(world.elevation(1)).await.unwrap().grant.id;
    let of_agent = broker.elevate(world.elevation(2)).await.unwrap().grant.id;
    broker.revoke(&operator(), &Revocable::Id(revoked.clone()), RevokeCause::Asked).await.unwrap();
    let on_call = "on-call".parse().unwrap();
    broker.disable_agent(&AGENT.parse().unwrap(), &on_call).await.unwrap();
    for (id, by, text) in [
        (revoked, "release-bot", "ended by operator release-bot"),
        (of_agent, "on-call", "agent disabled by operator on-call"),
    ] {
        let timeline = world.timeline(&id).await;
        let row = timeline.events.iter().find(|row| row.kind == EventKind::Revoke).unwrap();
        assert_eq!((row.text.as_str(), row.source), (text, Source::Operator));
        assert_eq!(row.data.get("by").map(String::as_str), Some(by));
        assert!(timeline.intact, "{:?}", timeline.broken);
    }
}

#[tokio::test]
async fn an_agent_that_is_switched_off_loses_what_it_has_and_gets_nothing_more() {
    let world = World::new().await;
    let broker = world.broker(Gate::open()).await;
    for key in 1..=3 {
        broker.elevate(world.elevation(key)).await.unwrap();
    }
    let disabled = broker.disable_agent(&AGENT.parse().unwrap(), &operator_name()).await.unwrap();
    assert_eq!(disabled.grants_ending, 3);
    world.assert_nothing_left("disabled").await;
    assert_eq!(broker.elevate(world.elevation(9)).await.unwrap_err().code, ErrorCode::AgentDisabled);
    // Giving back stays possible.
    let caller = broker.caller(Some(&world.auth_token)).await.unwrap();
    let key = Revocable::Key(IdempotencyKey::from_random([1; 16]));
    assert!(broker.revoke(&caller, &key, RevokeCause::Asked).await.is_ok());
    broker.enable_agent(&AGENT.parse().unwrap(), &operator_name()).await.unwrap();
    assert!(broker.elevate(world.elevation(10)).await.is_ok());
}

#[tokio::test]
async fn a_broker_that_dies_while_switching_an_agent_off_has_it_finished_by_the_next() {
    let mut boundary = 1;
    loop {
        let world = World::new().await;
        for key in 1..=2 {
            world.broker(Gate::open()).await.elevate(world.elevation(key)).await.unwrap();
        }
        let gate = Gate::dying_at(boundary);
        let dying = world.broker(gate.clone()).await;
        if gate.run(dying.disable_agent(&AGENT.parse().unwrap(), &operator_name())).await.is_some() {
            break;
        }
        let broker = world.broker(Gate::open()).await;
        // The operator repeats what got no answer, or housekeeping comes by.
        broker.disable_agent(&AGENT.parse().unwrap(), &operator_name()).await.unwrap();
        broker.housekeeping().await.unwrap();
        world.pass_time(5);
        world.settle(&broker).await;
        world.assert_nothing_left(&format!("boundary {boundary}")).await;
        boundary += 1;
    }
    assert!(boundary > 8);
}

#[tokio::test]
async fn a_target_that_will_not_let_go_is_asked_until_it_does() {
    let world = World::new().await;
    let broker = world.broker(Gate::open()).await;
    let grant = broker.elevate(world.elevation(1)).await.unwrap().grant;
    world.cloud.revert_failures_left.store(60, Ordering::SeqCst);
    let caller = broker.caller(Some(&world.auth_token)).await.unwrap();
    let revoked = broker.revoke(&caller, &Revocable::Id(grant.id.clone()), RevokeCause::Asked).await.unwrap();
    assert_eq!(revoked.status, GrantStatus::Revoking, "accepted, and said to be unfinished");
    let mut was_stuck = false;
    for _ in 0..100 {
        world.pass_time(60);
        world.settle(&broker).await;
        was_stuck |= status(&world).await == GrantStatus::RevokeFailing;
    }
    assert!(was_stuck);
    world.assert_nothing_left("stuck").await;
    let told = world
        .timeline(&grant.id)
        .await
        .events
        .iter()
        .filter(|event| event.kind == EventKind::RevokeFailing)
        .count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn what_the_target_accepted_is_looked_at_again_before_it_counts_as_gone() {
    let world = World::new().await;
    *world.cloud.settles.lock().unwrap() = true;
    let broker = world.broker(Gate::open()).await;
    let grant = broker.elevate(world.elevation(1)).await.unwrap().grant;
    let caller = broker.caller(Some(&world.auth_token)).await.unwrap();
    let revoked = broker.revoke(&caller, &Revocable::Id(grant.id.clone()), RevokeCause::Asked).await.unwrap();
    assert_eq!(revoked.status, GrantStatus::Verifying);
    world.pass_time(4);
    world.settle(&broker).await;
    assert_eq!(status(&world).await, GrantStatus::Verifying);
    // A write of ours landed late: it is found and undone again.
    world.cloud.objects.lock().unwrap().insert(format!("{}/policy", grant.id));
    for _ in 0..5 {
        world.pass_time(6);
        world.settle(&broker).await;
    }
    world.assert_nothing_left("settled").await;
}

#[tokio::test]
async fn another_agents_grant_is_not_there() {
    let world = World::new().await;
    let broker = world.broker(Gate::open()).await;
    let grant = broker.elevate(world.elevation(1)).await.unwrap().grant;
    let other = world.register("other-agent").await;
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
    // The same key is another agent's own: giving it back touches nothing of ours.
    let by_key = Revocable::Key(key);
    assert_eq!(
        broker.revoke(&stranger, &by_key, RevokeCause::Asked).await.unwrap_err().code,
        ErrorCode::GrantNotFound
    );
    assert_eq!(broker.state(&operator(), &grant.id).await.unwrap().status, GrantStatus::Active);
}

/// A broker gives back what it gave as it remembers it: what came in between counts all the same.
#[tokio::test]
async fn what_was_changed_since_it_was_given_is_given_back_as_it_is_now() {
    let world = World::new().await;
    let (broker, other) = (world.broker(Gate::open()).await, world.broker(Gate::open()).await);
    let exit = || RevokeCause::StepExited(0);

    let told = broker.elevate(world.elevation(1)).await.unwrap().grant;
    other.elevate(world.elevation(1)).await.unwrap();
    broker.revoke(&operator(), &Revocable::Id(told.id.clone()), exit()).await.unwrap();
    let retries = |timeline: &protocol::Timeline| {
        timeline.events.iter().filter(|event| event.kind == EventKind::Retry).count()
    };
    let timeline = world.timeline(&told.id).await;
    assert_eq!((retries(&timeline), timeline.intact), (1, true));

    let ended = broker.elevate(world.elevation(2)).await.unwrap().grant;
    other.revoke(&operator(), &Revocable::Id(ended.id.clone()), exit()).await.unwrap();
    let again = broker.revoke(&operator(), &Revocable::Id(ended.id.clone()), exit()).await.unwrap();
    assert_eq!(again.status, GrantStatus::Revoked);
    world.assert_nothing_left("given back by two").await;
}

/// The worker finds that nobody goes on with a grant; before it ends it, a retry has given it.
#[tokio::test]
async fn who_is_acknowledged_at_the_last_moment_keeps_the_grant() {
    let world = World::new().await;
    let dying = Gate::dying_at(4);
    let broker = world.broker(dying.clone()).await;
    assert!(dying.run(broker.elevate(world.elevation(1))).await.is_none(), "dies while it gives");
    world.pass_time(60);

    // The claim, before and after; then the change that ends it.
    let slow = Gate::stopping_at(3);
    let worker = world.broker(slow.clone()).await;
    let sweeping = tokio::spawn(async move { worker.sweep().await });
    while !slow.was_reached() {
        tokio::task::yield_now().await;
    }
    let given = world.broker(Gate::open()).await.elevate(world.elevation(1)).await.unwrap().grant;
    slow.go_on();
    assert_eq!(sweeping.await.unwrap().unwrap(), 1);
    assert_eq!((status(&world).await, world.objects()), (GrantStatus::Active, 3));
    let rows = world.timeline(&given.id).await.events;
    assert!(rows.iter().all(|row| row.kind != EventKind::RollBack), "{rows:?}");
}

#[tokio::test]
async fn who_asks_again_is_not_kept_by_a_target_that_cannot_plan_any_more() {
    let world = World::new().await;
    let broker = world.broker(Gate::open()).await;
    let grant = broker.elevate(world.elevation(1)).await.unwrap().grant;
    *world.cloud.fail_plan.lock().unwrap() = true;
    let again = broker.elevate(world.elevation(1)).await.unwrap().grant;
    assert_eq!(again.id, grant.id);
    let refused = broker.elevate(world.elevation(2)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TargetFailed, "{refused}");
}

#[tokio::test]
async fn steps_that_need_nothing_of_one_another_are_done_at_once_and_undone() {
    let world = World::new().await;
    let broker = world.broker(Gate::open()).await;
    let grant = broker.elevate(world.elevation(0)).await.unwrap().grant;
    let began = std::mem::take(&mut *world.cloud.at_once.lock().unwrap());
    assert_eq!(began, [vec!["make-role"], vec!["make-policy"], vec!["make-policy", "make-binding"]]);
    let caller = broker.caller(Some(&world.auth_token)).await.unwrap();
    broker.revoke(&caller, &Revocable::Id(grant.id), RevokeCause::Asked).await.unwrap();
    let most = world.cloud.at_once.lock().unwrap().iter().map(Vec::len).max();
    assert_eq!(most, Some(2));
    assert!(world.cloud.objects.lock().unwrap().is_empty());
}

#[tokio::test]
async fn steps_after_a_refused_step_are_not_applied() {
    let world = World::new().await;
    world.cloud.fails_once("make-role", Fault::Refused);
    let broker = world.broker(Gate::open()).await;
    let refused = broker.elevate(world.elevation(0)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TargetFailed);
    let calls = std::mem::take(&mut *world.cloud.at_once.lock().unwrap());
    let applied: Vec<_> = calls.iter().flatten().filter(|call| call.starts_with("make-")).collect();
    assert_eq!(applied, ["make-role"]);
}

#[tokio::test]
async fn of_steps_that_are_done_at_once_only_those_that_failed_are_done_again() {
    let world = World::new().await;
    world.cloud.fails_once("make-policy", Fault::Busy { retry_after: Duration::ZERO });
    let broker = world.broker(Gate::open()).await;
    broker.elevate(world.elevation(0)).await.unwrap();
    let began = std::mem::take(&mut *world.cloud.at_once.lock().unwrap());
    let of_each = |action: &str| began.iter().filter(|calls| calls.last().unwrap() == action).count();
    assert_eq!(["make-role", "make-policy", "make-binding"].map(of_each), [1, 2, 1]);
    assert_eq!(world.cloud.objects.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn what_the_target_refuses_is_not_tried_again_because_something_beside_it_may_pass() {
    let world = World::new().await;
    world.cloud.fails_once("make-policy", Fault::Busy { retry_after: Duration::ZERO });
    *world.cloud.fail_apply_of.lock().unwrap() = Some("make-binding".to_owned());
    let broker = world.broker(Gate::open()).await;
    let refusal = broker.elevate(world.elevation(0)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TargetFailed);
    assert!(refusal.detail.contains("quota exceeded"), "{refusal:?}");
    let began = std::mem::take(&mut *world.cloud.at_once.lock().unwrap());
    let tries = began.iter().filter(|calls| calls.last().unwrap() == "make-binding").count();
    assert_eq!(tries, 1);
    assert!(world.cloud.objects.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_was_not_answered_is_waited_for_although_another_way_was_found_for_what_stood_beside_it() {
    let world = World::new().await;
    world.cloud.fails_once("make-policy", Fault::Full { retry_after: Duration::ZERO });
    world.cloud.fails_once("make-binding", Fault::Unknown);
    let broker = world.broker(Gate::open()).await;
    broker.elevate(world.elevation(0)).await.unwrap();
    let grant = world.grants().await.remove(0).grant;
    assert_eq!(grant.steps.last().unwrap().action, "make-attachment");
    assert!(grant.late_until.is_some(), "{grant:?}");
}
