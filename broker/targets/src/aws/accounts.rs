//! How is each account reached? By a role of its own, with clients of its own, at a pace of its own.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_iam::config::SharedHttpClient;
use aws_sdk_iam::config::retry::RetryConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use tokio::time::Instant;

use super::caller::{self, Caller};
use super::gate::Gate;
use super::pod::Associations;
use super::policies::Policies;
use super::session::Sessions;
use crate::TargetError;
use crate::claim::Claim;

/// What an operator says of AWS (`[aws]`).
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// The accounts in which grants may be given, by their twelve digits.
    pub accounts: BTreeMap<String, AccountSettings>,
    /// How long after a change it is read back.
    pub settle: Duration,
    /// For how long a call that was not answered may still arrive.
    pub late: Duration,
}

/// What an operator says of one account.
#[derive(Debug, Clone, Default)]
pub struct AccountSettings {
    /// The role by which the broker acts there; without one it acts as itself.
    pub role: Option<String>,
    /// What that role's trust policy asks for.
    pub external_id: Option<String>,
    /// How often the account may be called in a second.
    pub calls_per_second: u32,
}

/// One account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) caller: Caller,
    pub(super) gate: Gate,
    pub(super) policies: Policies,
    pub(super) sessions: Sessions,
    pub(super) associations: Associations,
    config: SdkConfig,
    eks: Mutex<BTreeMap<String, aws_sdk_eks::Client>>,
}

/// An account, and the claim under which it is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed<'a> {
    account: &'a Account,
    pub(super) claim: &'a Claim,
}

impl Deref for Claimed<'_> {
    type Target = Account;

    fn deref(&self) -> &Account {
        self.account
    }
}

/// Every account.
#[derive(Debug)]
pub(super) struct Accounts(BTreeMap<String, Arc<Account>>);

/// For the broker's own credentials.
const ATTEMPT: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
/// For services without regions, where the environment names none.
const DEFAULT_REGION: &str = "us-east-1";

impl Accounts {
    /// Makes the clients; calls nobody.
    pub(super) async fn reach(settings: &AwsSettings) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(ATTEMPT)
            .build();
        let mut own = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(https())
            .timeout_config(timeouts)
            // A call that was sent again by the library might arrive twice, and nobody would know: we retry, and
            // write it down.
            .retry_config(RetryConfig::disabled())
            .load()
            .await;
        if own.region().is_none() {
            own = own.into_builder().region(Region::from_static(DEFAULT_REGION)).build();
        }
        let mut accounts = BTreeMap::new();
        for (id, settings) in &settings.accounts {
            let account = Account::reach(id, settings, &own).await;
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
    pub(super) fn under<'a>(&'a self, claim: &'a Claim) -> Claimed<'a> {
        Claimed { account: self, claim }
    }

    /// For calls that change nothing.
    pub(super) fn reading(&self) -> Claimed<'_> {
        static NO_CLAIM: Claim = Claim::not_needed();
        self.under(&NO_CLAIM)
    }

    pub(super) async fn reach(id: &str, settings: &AccountSettings, own: &SdkConfig) -> Self {
        let (config, caller) = match &settings.role {
            // Each account has its own, so that each hears of new ones.
            None => match own.credentials_provider() {
                Some(provider) => {
                    let (provider, caller) = caller::watched(provider);
                    (own.to_builder().credentials_provider(provider).build(), caller)
                }
                // Whoever has none is nobody, and is told so by every call.
                None => (own.clone(), Caller::Asked(Arc::default())),
            },
            Some(role) => {
                let mut provider =
                    AssumeRoleProvider::builder(role).session_name("cloudanix-jit-broker").configure(own);
                if let Some(external_id) = &settings.external_id {
                    provider = provider.external_id(external_id);
                }
                let credentials =
                    aws_credential_types::provider::SharedCredentialsProvider::new(provider.build().await);
                (own.to_builder().credentials_provider(credentials).build(), Caller::Role(role.clone()))
            }
        };
        let config = without_timeouts(&config);
        Self {
            id: id.to_owned(),
            iam: aws_sdk_iam::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            caller,
            gate: Gate::new(settings.calls_per_second, Instant::now()),
            policies: Policies::default(),
            sessions: Sessions::default(),
            associations: Associations::default(),
            config,
            eks: Mutex::default(),
        }
    }

    /// EKS in a region; where none is named, in the broker's own.
    pub(super) fn eks(&self, region: &str) -> aws_sdk_eks::Client {
        let mut clients = self.eks.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(region.to_owned()).or_insert_with(|| {
            let mut config = aws_sdk_eks::config::Builder::from(&self.config);
            if !region.is_empty() {
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

/// Without timeouts of the SDK: [`call`](super::call::call) bounds each call, from when it may be sent.
fn without_timeouts(config: &SdkConfig) -> SdkConfig {
    config
        .to_builder()
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}
