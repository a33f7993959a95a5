//! The bracket of a grant against a scripted broker: every way in which the work or the elevation ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod scripted_broker;

#[expect(dead_code, reason = "the tests call everything but its `main`")]
#[path = "../examples/one_grant.rs"]
mod one_grant;

use std::future::pending;
use std::time::Duration;

use jit_client::identity::Files;
use jit_client::protocol::RevokeCause;
use jit_client::{
    Client, ElevateLimits, Elevation, Error, GrantGuard, LeaseEnd, Request, Settings, Workload, new_key,
};

use self::scripted_broker::{Call, Reply, ScriptedBroker};

fn elevation(broker: &ScriptedBroker) -> (Client, Elevation) {
    let env = broker.env();
    let client = Client::new(&Settings::for_agent(&env).unwrap()).unwrap();
    let workload = Workload::detect(&env, &Files::system()).unwrap();
    let request = Request::new(vec!["orders-write".parse().unwrap()], "15m".parse().unwrap());
    (client, Elevation::new(workload, request, new_key().unwrap()))
}

async fn acquire(client: &Client, elevation: &Elevation) -> Result<GrantGuard, Error> {
    client.acquire(elevation, ElevateLimits::default(), |_| {}).await
}

#[tokio::test]
async fn the_example_elevates_works_and_revokes() {
    let mut broker = ScriptedBroker::start([Reply::active(), Reply::revoked()]).await;
    let message = one_grant::deploy_with_grant(&broker.env()).await.unwrap();
    assert_eq!(message, "deployed with elev-0000000000000001 by a token; revoked");
    let Call::Elevate { key: _, heartbeat: true } = broker.next().await else { panic!("no elevate") };
    assert_eq!(broker.next().await, Call::RevokeById { cause: "asked".to_owned() });
}

#[tokio::test]
async fn a_lost_answer_is_retried_with_the_same_key() {
    let mut broker = ScriptedBroker::start([Reply::Lost, Reply::active(), Reply::revoked()]).await;
    let (client, elevation) = elevation(&broker);
    let guard = acquire(&client, &elevation).await.unwrap();
    let first = broker.next().await;
    assert_eq!(first, Call::Elevate { key: elevation.key().to_string(), heartbeat: true });
    assert_eq!(broker.next().await, first);
    assert!(guard.revoke(RevokeCause::StepExited(0)).await.unwrap().is_confirmed());
    assert_eq!(broker.next().await, Call::RevokeById { cause: "exit:0".to_owned() });
}

#[tokio::test]
async fn a_dropped_guard_revokes_by_key() {
    let mut broker = ScriptedBroker::start([Reply::active(), Reply::revoked()]).await;
    let (client, elevation) = elevation(&broker);
    drop(acquire(&client, &elevation).await.unwrap());
    broker.next().await;
    assert_eq!(broker.next().await, Call::RevokeByKey { key: elevation.key().to_string() });
}

#[tokio::test]
async fn work_that_panics_is_revoked() {
    let mut broker = ScriptedBroker::start([Reply::active(), Reply::revoked()]).await;
    let (client, elevation) = elevation(&broker);
    let key = elevation.key().to_string();
    let work = tokio::spawn(async move {
        let _guard = acquire(&client, &elevation).await.unwrap();
        panic!("the work fails");
    });
    assert!(work.await.unwrap_err().is_panic());
    broker.next().await;
    assert_eq!(broker.next().await, Call::RevokeByKey { key });
}

#[tokio::test]
async fn an_elevation_that_is_cancelled_before_its_answer_is_revoked_by_key() {
    let mut broker = ScriptedBroker::start([Reply::Never, Reply::revoked()]).await;
    let (client, elevation) = elevation(&broker);
    tokio::select! {
        guard = acquire(&client, &elevation) => panic!("answered: {guard:?}"),
        call = broker.next() => assert!(matches!(call, Call::Elevate { .. })),
    }
    assert_eq!(broker.next().await, Call::RevokeByKey { key: elevation.key().to_string() });
}

#[tokio::test]
async fn an_elevation_that_was_never_sent_is_not_revoked() {
    let mut broker = ScriptedBroker::start([Reply::active(), Reply::revoked()]).await;
    let (client, elevation) = elevation(&broker);
    tokio::select! {
        biased;
        () = async {} => {}
        guard = acquire(&client, &elevation) => panic!("answered: {guard:?}"),
    }
    assert!(!elevation.was_sent());
    // The first call that the broker receives is this one.
    drop(acquire(&client, &elevation).await.unwrap());
    assert!(matches!(broker.next().await, Call::Elevate { .. }));
}

#[tokio::test]
async fn a_refusal_has_code_detail_and_hint_and_is_not_revoked() {
    let mut broker =
        ScriptedBroker::start([Reply::Problem { status: 403, code: "policy_not_permitted" }]).await;
    let (client, elevation) = elevation(&broker);
    let error = acquire(&client, &elevation).await.unwrap_err();
    assert_eq!((error.code(), error.hint()), ("policy_not_permitted", Some("the hint of the test")));
    assert!(error.to_string().contains("the detail of the test"), "{error}");
    assert!(!elevation.may_have_granted(&error));
    broker.next().await;
    broker.expect_no_call_until_now().await;
}

#[tokio::test]
async fn an_elevation_that_ends_without_an_active_grant_is_revoked_before_the_error_returns() {
    let mut broker = ScriptedBroker::start([Reply::rolling_back(), Reply::revoked()]).await;
    let (client, elevation) = elevation(&broker);
    let error = acquire(&client, &elevation).await.unwrap_err();
    assert_eq!(error.code(), "grant_not_active");
    broker.next().await;
    assert_eq!(broker.next().await, Call::RevokeByKey { key: elevation.key().to_string() });
    broker.expect_no_call_until_now().await;
}

#[tokio::test]
async fn heartbeats_are_sent_and_the_end_of_the_grant_is_reported() {
    let ended = Reply::Problem { status: 409, code: "grant_ended" };
    let mut broker = ScriptedBroker::start([Reply::active(), ended, Reply::revoked()]).await;
    let (client, elevation) = elevation(&broker);
    let guard = acquire(&client, &elevation).await.unwrap();
    broker.next().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(broker.next().await, Call::Heartbeat { key: elevation.key().to_string() });
    assert_eq!(guard.ended().await, LeaseEnd::Ended("the detail of the test".to_owned()));
}

#[tokio::test]
async fn the_deadline_is_reported_if_no_heartbeat_is_answered() {
    let mut broker = ScriptedBroker::start([Reply::active_until_deadline(), Reply::revoked()]).await;
    let (client, elevation) = elevation(&broker);
    let guard = acquire(&client, &elevation).await.unwrap();
    broker.next().await;
    tokio::time::pause();
    let end = guard.ended().await;
    tokio::time::resume();
    assert_eq!(end, LeaseEnd::Deadline);
}

#[tokio::test]
async fn an_elevation_can_run_on_another_thread() {
    let mut broker = ScriptedBroker::start([Reply::Never]).await;
    let (client, elevation) = elevation(&broker);
    let task = tokio::spawn(async move {
        let guard = acquire(&client, &elevation).await;
        pending::<()>().await;
        drop(guard);
    });
    assert!(matches!(broker.next().await, Call::Elevate { .. }));
    task.abort();
}
