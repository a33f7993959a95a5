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

use super::super::accounts::Account;
use super::super::config::AccountSettings;
use super::*;
use crate::calls::ANSWERED_WITHIN;
use crate::claim::Claim;

/// An HTTP client of the SDK that counts requests, answers them or not, and connects when it is told.
#[derive(Debug, Clone, Default)]
struct Cloud {
    calls: Arc<AtomicUsize>,
    never_answers: bool,
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
        Account::connect("123456789012", &settings, &config).await
    }
}

impl HttpClient for Cloud {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Cloud {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let Self { calls, never_answers, connects_on } = self.clone();
        HttpConnectorFuture::new(async move {
            if let Some(connected) = connects_on {
                connected.notified().await;
            }
            calls.fetch_add(1, Ordering::SeqCst);
            if never_answers {
                std::future::pending::<()>().await;
            }
            let ok = 200.try_into().expect("a status");
            Ok(HttpResponse::new(ok, SdkBody::from("<DeleteRoleResponse></DeleteRoleResponse>")))
        })
    }
}

/// A claim until the 30th second, and its clock.
fn claim() -> (Claim, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(0));
    let now = Arc::clone(&clock);
    (Claim::until(Timestamp::from_secs(30), move || Timestamp::from_secs(now.load(Ordering::SeqCst))), clock)
}

async fn delete_role(api: Api<'_>, priority: Priority) -> Result<(), CallError> {
    let sending = api.iam.delete_role().role_name("role").send();
    api.call(priority, "iam:DeleteRole", sending).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_may_have_been_applied() {
    let cloud = Cloud { never_answers: true, ..Cloud::default() };
    let account = cloud.account().await;
    let calling = tokio::time::timeout(ANSWERED_WITHIN * 2, delete_role(account.reading(), Priority::Normal));
    let error = calling.await.expect("an end").unwrap_err();
    assert_eq!(error.fault, Fault::Unknown);
    assert!(error.what.starts_with("iam:DeleteRole was not answered"), "{error:?}");
    assert_eq!(cloud.calls(), 1);
}

#[tokio::test]
async fn a_call_in_time_is_sent_and_the_next_under_the_same_claim_is_not() {
    let cloud = Cloud::default();
    let account = cloud.account().await;
    let (claim, clock) = claim();
    clock.store(24, Ordering::SeqCst);
    delete_role(account.under(&claim), Priority::Revoke).await.unwrap();
    clock.store(25, Ordering::SeqCst);
    delete_role(account.under(&claim), Priority::Revoke).await.unwrap_err();
    assert_eq!(cloud.calls(), 1);
}

#[tokio::test]
async fn a_call_of_a_machine_that_was_paused_while_it_connected_is_not_sent() {
    let connects_on = Arc::new(Notify::new());
    let cloud = Cloud { connects_on: Some(Arc::clone(&connects_on)), ..Cloud::default() };
    let account = cloud.account().await;
    for _ in 0..10 {
        let (claim, clock) = claim();
        let mut step = pin!(delete_role(account.under(&claim), Priority::Revoke));
        for _ in 0..10 {
            assert!(step.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        clock.store(30, Ordering::SeqCst);
        connects_on.notify_waiters();
        let error = step.await.unwrap_err();
        assert_eq!(error.fault, Fault::Unknown);
        assert_eq!(error.what, "iam:DeleteRole was not answered: the claim lapsed meanwhile");
    }
    assert_eq!(cloud.calls(), 0);
}
