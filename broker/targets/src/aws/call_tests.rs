use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

use super::super::accounts::AccountSettings;
use super::*;
use crate::leave::Leave;

/// AWS, as far as it can be seen from here: what came, and whether it answers.
#[derive(Debug, Clone, Default)]
struct Cloud {
    calls: Arc<AtomicUsize>,
    is_silent: bool,
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
        self.calls.fetch_add(1, Ordering::SeqCst);
        let is_silent = self.is_silent;
        HttpConnectorFuture::new(async move {
            if is_silent {
                std::future::pending::<()>().await;
            }
            let ok = 200.try_into().expect("a status");
            Ok(HttpResponse::new(ok, SdkBody::from("<DeleteRoleResponse></DeleteRoleResponse>")))
        })
    }
}

async fn delete_role(account: &Account) -> Result<(), Failure> {
    let sending = account.iam.delete_role().role_name("role").send();
    call(account, Urgency::Give, "iam:DeleteRole", sending).await.map(drop)
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
    to_go.give();
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
    to_go.give();
    step.await.unwrap();
    assert_eq!(cloud.calls(), 1);
}

#[tokio::test]
async fn what_needs_no_leave_goes_at_once() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    delete_role(&account).await.unwrap();
    held::step(Leave::given(), delete_role(&account)).await.unwrap();
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
    to_go.give();
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
async fn a_turn_that_has_come_is_taken_without_a_timer() {
    let now = Instant::now();
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(wait_until(now, now)).poll(&mut context).is_ready());
    assert!(pin!(wait_until(now + Duration::from_secs(60), now)).poll(&mut context).is_pending());
}
