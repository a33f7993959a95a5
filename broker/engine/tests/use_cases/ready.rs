//! What a step needs is got ready while something else comes first. Is it ever done too soon, or although it is not to
//! be done?

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use engine::{Elevated, Elevation, Engine, Refusal, Revocable};
use protocol::{ErrorCode, GrantStatus, IdempotencyKey, RevokeCause};
use targets::Fault;

use crate::world::{Gate, World};

/// Before a grant is written down; when it is and nobody has heard of it; before its first step is done.
const WRITTEN: usize = 1;
const HEARD: usize = 2;
const FIRST_STEP: usize = 3;

fn ready(world: &World) -> Vec<String> {
    take(&mut *world.cloud.ready.lock().unwrap())
}

fn done(world: &World) -> Vec<String> {
    take(&mut *world.cloud.at_once.lock().unwrap()).into_iter().flatten().collect()
}

/// Stands still there until `so_far` has looked at it.
async fn stopped_at(
    world: &World,
    boundary: usize,
    elevation: Elevation,
    so_far: impl AsyncFnOnce(),
) -> Result<Elevated, Refusal> {
    let gate = Gate::stopping_at(boundary);
    let broker = world.broker(Arc::clone(&gate)).await;
    let elevating = tokio::spawn(async move { broker.elevate(elevation).await });
    while !gate.was_reached() {
        tokio::task::yield_now().await;
    }
    // Whatever can go on without the gate has done so.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    so_far().await;
    gate.go_on();
    elevating.await.unwrap()
}

#[tokio::test]
async fn the_first_step_is_got_ready_while_the_grant_is_written_down_and_not_done_before() {
    for (boundary, written) in [(WRITTEN, 0), (HEARD, 1)] {
        let world = World::new().await;
        let given = stopped_at(&world, boundary, world.elevation(0), async || {
            assert_eq!(world.grants().await.len(), written);
            assert_eq!(ready(&world), ["make-role"]);
            assert_eq!(done(&world), [""; 0]);
        });
        given.await.unwrap();
        assert_eq!(ready(&world), ["make-policy", "make-binding"], "nothing is got ready twice");
        assert_eq!(world.objects(), 3);
    }
}

#[tokio::test]
async fn what_comes_next_is_got_ready_while_a_step_is_done_and_not_done_before() {
    let world = World::new().await;
    let given = stopped_at(&world, FIRST_STEP, world.elevation(0), async || {
        assert_eq!(ready(&world), ["make-role", "make-policy", "make-binding"]);
        assert_eq!(done(&world), [""; 0]);
    });
    given.await.unwrap();
    assert_eq!(world.objects(), 3);
}

#[tokio::test]
async fn what_is_ready_when_there_is_nothing_to_be_done_is_not_done() {
    let world = World::new().await;
    let broker = world.broker(Gate::open()).await;
    broker.elevate(world.elevation(0)).await.unwrap();
    done(&world);
    ready(&world);

    let mut with_another_reason = world.elevation(0);
    with_another_reason.request.reason = Some("another one".to_owned());

    let caller = broker.caller(Some(&world.auth_token)).await.unwrap();
    let key = Revocable::Key(IdempotencyKey::from_random([1; 16]));
    broker.revoke(&caller, &key, RevokeCause::Asked).await.unwrap_err();
    let given_back = world.elevation(1);

    for (elevation, code) in
        [(with_another_reason, ErrorCode::IdempotencyConflict), (given_back, ErrorCode::GrantEnded)]
    {
        let refused = stopped_at(&world, WRITTEN, elevation, async || {
            assert_eq!(ready(&world), ["make-role"]);
        });
        assert_eq!(refused.await.unwrap_err().code, code);
        assert_eq!(done(&world), [""; 0]);
        assert_eq!(world.objects(), 3, "those of the first");
    }
}

#[tokio::test]
async fn what_follows_a_step_that_cannot_be_done_is_not_done() {
    let world = World::new().await;
    world.cloud.fails_once("make-role", Fault::Refused);
    let broker = world.broker(Gate::open()).await;
    let refused = broker.elevate(world.elevation(0)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TargetFailed);
    assert_eq!(ready(&world), ["make-role", "make-policy", "make-binding"]);
    let undone = ["role", "policy", "binding"];
    let done = done(&world)
        .into_iter()
        .filter(|what| !undone.iter().any(|part| what.ends_with(&format!("/{part}"))));
    assert_eq!(done.collect::<Vec<_>>(), ["make-role"]);
}

fn stuck_once(world: &World, action: &str) {
    *world.cloud.stuck_once.lock().unwrap() = Some(action.to_owned());
}

fn was_stuck(world: &World) -> bool {
    world.cloud.stuck_once.lock().unwrap().is_none()
}

/// All that it takes, also while something else was got ready and came to no end.
async fn gives(world: &World, broker: &Engine, key: u8) {
    let elevating = broker.elevate(world.elevation(key));
    let given = tokio::time::timeout(Duration::from_secs(10), elevating).await.unwrap();
    assert_eq!(given.unwrap().grant.status, GrantStatus::Active);
    assert!(was_stuck(world), "the test shows something");
}

#[tokio::test]
async fn who_joins_a_grant_is_not_kept_by_what_was_got_ready_for_another() {
    let world = World::new().await;
    let gate = Gate::dying_at(FIRST_STEP);
    let dies = world.broker(Arc::clone(&gate)).await;
    assert!(gate.run(dies.elevate(world.elevation(0))).await.is_none());
    stuck_once(&world, "make-role");
    let gate = Gate::stopping_at(WRITTEN);
    let joins = world.broker(Arc::clone(&gate)).await;
    let goes_on_when_stuck = async {
        while !was_stuck(&world) {
            tokio::task::yield_now().await;
        }
        gate.go_on();
    };
    tokio::join!(gives(&world, &joins, 0), goes_on_when_stuck);
    assert_eq!(world.objects(), 3);
}

#[tokio::test]
async fn nobody_is_kept_by_what_was_got_ready_after_a_step_that_is_to_be_tried_again() {
    let world = World::new().await;
    stuck_once(&world, "make-policy");
    let not_soon = Fault::Busy { retry_after: Duration::from_secs(19) };
    world.cloud.fails_once("make-role", not_soon);
    let broker = world.broker(Gate::open()).await;
    let (waits, elevation) = (Arc::clone(&broker), world.elevation(0));
    let waits = tokio::spawn(async move { waits.elevate(elevation).await });
    while !was_stuck(&world) {
        tokio::task::yield_now().await;
    }
    gives(&world, &broker, 1).await;
    assert!(!waits.is_finished());
    waits.abort();
}

/// What was done of an elevation that stood still after its first step while it was given back, and then went on.
async fn done_although_given_back(stands_still_for: i64) -> Vec<String> {
    let world = World::new().await;
    let other = world.broker(Gate::open()).await;
    let caller = other.caller(Some(&world.auth_token)).await.unwrap();
    let refused = stopped_at(&world, FIRST_STEP + 1, world.elevation(0), async || {
        world.pass_time(stands_still_for);
        let key = Revocable::Key(IdempotencyKey::from_random([0; 16]));
        other.revoke(&caller, &key, RevokeCause::Asked).await.unwrap();
        assert_eq!(world.objects(), 0);
        assert!(done(&world).iter().all(|what| what != "make-policy"));
    });
    refused.await.unwrap_err();
    assert_eq!(world.objects(), 0);
    done(&world)
}

#[tokio::test]
async fn who_stood_still_looks_before_it_goes_on() {
    let done = done_although_given_back(1).await;
    assert!(done.iter().all(|what| what != "make-policy"), "{done:?}");
}

#[tokio::test]
async fn what_is_done_because_nobody_looked_again_is_taken_back_at_once() {
    let done = done_although_given_back(0).await;
    assert!(done.iter().any(|what| what == "make-policy"), "{done:?}");
}
