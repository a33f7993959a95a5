use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_iam::config::SharedHttpClient;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use protocol::Timestamp;
use tokio::sync::Notify;

use super::super::accounts::AccountSettings;
use super::*;
use crate::claim::Claim;
use crate::leave::Leave;

/// AWS, as far as it can be seen from here: what came, and whether it answers.
#[derive(Debug, Clone, Default)]
struct Cloud {
    calls: Arc<AtomicUsize>,
    is_silent: bool,
    /// Nothing is sent before the connection is made.
    connects_on: Option<Arc<Notify>>,
}

impl Cloud {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn account(&self) -> Account {
        let keys = Credentials::new("AKIAEXAMPLE", "secret", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .http_client(SharedHttpClient::new(self.clone()))
            .build();
        let settings = AccountSettings { calls_per_second: 1, ..AccountSettings::default() };
        Account::reach("123456789012", &settings, &config).await
    }
}

impl HttpClient for Cloud {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Cloud {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let Self { calls, is_silent, connects_on } = self.clone();
        HttpConnectorFuture::new(async move {
            if let Some(connected) = connects_on {
                connected.notified().await;
            }
            calls.fetch_add(1, Ordering::SeqCst);
            if is_silent {
                std::future::pending::<()>().await;
            }
            let ok = 200.try_into().expect("a status");
            Ok(HttpResponse::new(ok, SdkBody::from("<DeleteRoleResponse></DeleteRoleResponse>")))
        })
    }
}

/// A claim until the 30th second, and what moves its clock.
fn claim() -> (Claim, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(0));
    let now = Arc::clone(&clock);
    (Claim::until(Timestamp::from_secs(30), move || Timestamp::from_secs(now.load(Ordering::SeqCst))), clock)
}

async fn delete_role(account: &Account) -> Result<(), Failure> {
    let sending = account.iam.delete_role().role_name("role").send();
    call(account, Urgency::Give, "iam:DeleteRole", sending).await.map(drop)
}

/// Waits for no turn.
async fn take_back(account: &Account) -> Result<(), Failure> {
    let sending = account.iam.delete_role().role_name("role").send();
    call(account, Urgency::TakeBack, "iam:DeleteRole", sending).await.map(drop)
}

#[tokio::test]
async fn a_call_does_not_go_before_its_step_has_leave() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    let (to_go, leave) = LeaveToGive::new();
    let mut step = pin!(held::step(leave, delete_role(&account)));
    for _ in 0..10 {
        assert!(step.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(cloud.calls(), 0);
    to_go.give(Claim::not_needed());
    step.await.unwrap();
    assert_eq!(cloud.calls(), 1);
}

#[tokio::test]
async fn a_step_that_sends_past_the_gate_waits_for_leave_all_the_same() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    let (to_go, leave) = LeaveToGive::new();
    let mut step = pin!(held::step(leave, account.iam.delete_role().role_name("role").send()));
    assert!(step.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(cloud.calls(), 0);
    to_go.give(Claim::not_needed());
    step.await.unwrap();
    assert_eq!(cloud.calls(), 1);
}

#[tokio::test]
async fn what_needs_no_leave_goes_at_once() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    delete_role(&account).await.unwrap();
    held::step(Leave::given(Claim::not_needed()), delete_role(&account)).await.unwrap();
    assert_eq!(cloud.calls(), 2);
}

#[tokio::test]
async fn a_call_that_never_gets_leave_takes_nobodys_turn() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    for _ in 0..100 {
        let (_to_go, leave) = LeaveToGive::new();
        let step = pin!(held::step(leave, delete_role(&account)));
        assert!(step.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(cloud.calls(), 0);
    assert!(
        account.gate.turn(Urgency::Give, Instant::now()).is_ok(),
        "a second each: three would be too many"
    );
}

#[tokio::test(start_paused = true)]
async fn how_long_a_call_takes_is_counted_from_when_it_may_go() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    let (to_go, leave) = LeaveToGive::new();
    let mut step = pin!(held::step(leave, delete_role(&account)));
    // Whoever writes down what is to be done is slow.
    assert!(tokio::time::timeout(ANSWERED_WITHIN * 10, &mut step).await.is_err());
    to_go.give(Claim::not_needed());
    step.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_went_and_is_not_answered_may_have_been_done() {
    let cloud = Cloud { is_silent: true, ..Cloud::default() };
    let account = cloud.account().await;
    let calling = tokio::time::timeout(ANSWERED_WITHIN * 2, delete_role(&account));
    let failure = calling.await.expect("an end").unwrap_err();
    assert_eq!(failure.fault, Fault::Unknown);
    assert!(failure.what.starts_with("iam:DeleteRole was not answered"), "{failure:?}");
    assert_eq!(cloud.calls(), 1);
}

#[tokio::test]
async fn a_call_that_cannot_be_answered_before_its_claim_ends_is_not_sent() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    let (claim, clock) = claim();
    for _ in 0..10 {
        let (to_go, leave) = LeaveToGive::new();
        let mut step = pin!(held::step(leave, take_back(&account)));
        assert!(step.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // Paused between the look at the claim that gave leave and the call.
        clock.store(25, Ordering::SeqCst);
        to_go.give(claim.clone());
        let failure = step.await.unwrap_err();
        assert_eq!(
            failure.what,
            "iam:DeleteRole was not sent: the claim under which it was to be sent has lapsed"
        );
        assert!(matches!(failure.fault, Fault::Busy { .. }), "nothing was done: {failure:?}");
    }
    assert_eq!(cloud.calls(), 0);
}

#[tokio::test]
async fn a_call_in_time_is_sent_and_the_next_of_the_same_step_is_not() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    let (claim, clock) = claim();
    clock.store(24, Ordering::SeqCst);
    let step = async {
        take_back(&account).await.unwrap();
        clock.store(25, Ordering::SeqCst);
        take_back(&account).await.unwrap_err();
    };
    held::step(Leave::given(claim), step).await;
    assert_eq!(cloud.calls(), 1);
}

#[tokio::test]
async fn a_call_past_the_gate_is_not_sent_without_a_claim_either() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    let (claim, clock) = claim();
    clock.store(3600, Ordering::SeqCst);
    let sending = account.iam.delete_role().role_name("role").send();
    held::step(Leave::given(claim), sending).await.unwrap_err();
    assert_eq!(cloud.calls(), 0);
}

#[tokio::test]
async fn a_call_of_a_machine_that_was_paused_while_it_connected_is_not_sent_when_it_goes_on() {
    let connects_on = Arc::new(Notify::new());
    let cloud = Cloud { connects_on: Some(Arc::clone(&connects_on)), ..Cloud::default() };
    let account = cloud.account().await;
    for _ in 0..10 {
        let (claim, clock) = claim();
        let mut step = pin!(held::step(Leave::given(claim), take_back(&account)));
        for _ in 0..10 {
            assert!(step.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        clock.store(30, Ordering::SeqCst);
        connects_on.notify_waiters();
        let failure = step.await.unwrap_err();
        assert_eq!(failure.fault, Fault::Unknown);
        assert_eq!(failure.what, "iam:DeleteRole was not answered: the claim lapsed meanwhile");
    }
    assert_eq!(cloud.calls(), 0);
}

#[tokio::test]
async fn a_turn_that_has_come_is_taken_without_a_timer() {
    let now = Instant::now();
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(wait_until(now, now)).poll(&mut context).is_ready());
    assert!(pin!(wait_until(now + Duration::from_secs(60), now)).poll(&mut context).is_pending());
}
