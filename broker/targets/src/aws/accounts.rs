//! The clients of each account: a role, connections and a rate limit of its own.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_iam::config::SharedHttpClient;
use aws_sdk_iam::config::retry::RetryConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use tokio::time::Instant;

use super::caller_identity::{self, Caller};
use super::config::{AccountSettings, AwsSettings};
use crate::TargetError;
use crate::calls::Endpoint;
use crate::claim::Claim;

/// The clients of one account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) caller: Caller,
    pub(super) endpoint: Endpoint,
    config: SdkConfig,
    eks: Mutex<BTreeMap<String, aws_sdk_eks::Client>>,
}

/// The clients of an account, for calls under one claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api<'a> {
    account: &'a Account,
    pub(super) claim: &'a Claim,
}

impl Deref for Api<'_> {
    type Target = Account;

    fn deref(&self) -> &Account {
        self.account
    }
}

/// Every account of the configuration.
#[derive(Debug)]
pub(super) struct Accounts(BTreeMap<String, Arc<Account>>);

/// For the calls that get the broker's own credentials.
const ATTEMPT: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
/// For services without regions, where the environment names none.
const DEFAULT_REGION: &str = "us-east-1";

impl Accounts {
    /// Builds the clients; sends no call.
    pub(super) async fn connect(settings: &AwsSettings) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(ATTEMPT)
            .build();
        let mut own = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(https())
            .timeout_config(timeouts)
            // A retry inside the library could arrive twice without a record of it: the driver retries and records.
            .retry_config(RetryConfig::disabled())
            .load()
            .await;
        if own.region().is_none() {
            own = own.into_builder().region(Region::from_static(DEFAULT_REGION)).build();
        }
        let mut accounts = BTreeMap::new();
        for (id, settings) in &settings.accounts {
            let account = Account::connect(id, settings, &own).await;
            accounts.insert(id.clone(), Arc::new(account));
        }
        Self(accounts)
    }

    pub(super) fn get(&self, id: &str) -> Result<&Arc<Account>, TargetError> {
        self.0.get(id).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            TargetError::refused(format!(
                "account `{id}` is not set up in this broker: expected one of `{}`",
                known.join("`, `")
            ))
        })
    }
}

impl Account {
    /// For the calls of a driver that has this claim.
    pub(super) fn under<'a>(&'a self, claim: &'a Claim) -> Api<'a> {
        Api { account: self, claim }
    }

    /// For calls that change nothing.
    pub(super) fn reading(&self) -> Api<'_> {
        static NO_CLAIM: Claim = Claim::not_needed();
        self.under(&NO_CLAIM)
    }

    pub(super) async fn connect(id: &str, settings: &AccountSettings, own: &SdkConfig) -> Self {
        let (config, caller) = match &settings.role {
            // A watcher for each account, because each caches the identity on its own.
            None => match own.credentials_provider() {
                Some(provider) => {
                    let (provider, caller) = caller_identity::watch(provider);
                    (own.to_builder().credentials_provider(provider).build(), caller)
                }
                // Every call fails and says so.
                None => (own.clone(), Caller::OwnCredentials(Arc::default())),
            },
            Some(role) => {
                let mut provider =
                    AssumeRoleProvider::builder(role).session_name("cloudanix-jit-broker").configure(own);
                if let Some(external_id) = &settings.external_id {
                    provider = provider.external_id(external_id);
                }
                let credentials = SharedCredentialsProvider::new(provider.build().await);
                (own.to_builder().credentials_provider(credentials).build(), Caller::Role(role.clone()))
            }
        };
        let config = without_timeouts(&config);
        Self {
            id: id.to_owned(),
            iam: aws_sdk_iam::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            caller,
            endpoint: Endpoint::new(format!("account {id}"), settings.calls_per_second, Instant::now()),
            config,
            eks: Mutex::default(),
        }
    }

    /// EKS in a region; in the broker's own region if none is given.
    pub(super) fn eks(&self, region: Option<&str>) -> aws_sdk_eks::Client {
        let mut clients = self.eks.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(region.unwrap_or_default().to_owned()).or_insert_with(|| {
            let mut config = aws_sdk_eks::config::Builder::from(&self.config);
            if let Some(region) = region {
                config = config.region(Region::new(region.to_owned()));
            }
            aws_sdk_eks::Client::from_conf(config.build())
        });
        client.clone()
    }
}

fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Without timeouts of the SDK: [`Endpoint::call`] bounds each call, from when it may be sent.
fn without_timeouts(config: &SdkConfig) -> SdkConfig {
    config
        .to_builder()
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}
