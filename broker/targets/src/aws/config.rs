//! The `[aws]` section of the broker's configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::aws::{IamArn, IamKind, is_account};
use protocol::Ttl;
use serde::Deserialize;

use crate::OrphanRule;

/// `[aws]`. The broker's own credentials come from the SDK's standard chain.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsConfig {
    /// The accounts in which the broker can provision, by their twelve digits.
    pub accounts: BTreeMap<String, AccountConfig>,
    /// How long after a change the broker reads it back.
    #[serde(default = "read_back_delay")]
    pub read_back_delay: Ttl,
    /// How long after a call without an answer AWS may still apply it.
    #[serde(default = "late_write_window")]
    pub late_write_window: Ttl,
    /// How often the broker compares the accounts with the store.
    #[serde(default = "late_write_window")]
    pub reconcile_every: Ttl,
    /// How long after the end of its grant an orphan stays.
    #[serde(default = "orphan_grace")]
    pub orphan_grace: Ttl,
    /// What the broker does with an orphan then.
    #[serde(default)]
    pub orphans: OrphanRule,
}

/// `[aws.accounts.ID]`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// The role that the broker assumes there; without one it uses its own credentials.
    #[serde(default)]
    pub role: Option<String>,
    /// The external id that the role's trust policy requires.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The most calls to the account in a second.
    #[serde(default = "calls_per_second")]
    pub calls_per_second: u32,
}

/// [`AwsConfig`] as the target uses it.
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// By their twelve digits.
    pub accounts: BTreeMap<String, AccountSettings>,
    /// How long after a change the broker reads it back.
    pub read_back_delay: Duration,
    /// How long after a call without an answer AWS may still apply it.
    pub late_write_window: Duration,
}

/// [`AccountConfig`] as the target uses it.
#[derive(Debug, Clone, Default)]
pub struct AccountSettings {
    /// The role that the broker assumes there.
    pub role: Option<String>,
    /// The external id that the role's trust policy requires.
    pub external_id: Option<String>,
    /// The most calls in a second.
    pub calls_per_second: u32,
}

fn secs(secs: u32) -> Ttl {
    #[expect(clippy::expect_used, reason = "called with constants that are valid durations")]
    Ttl::from_secs(secs).expect("a valid duration")
}

fn read_back_delay() -> Ttl {
    secs(5)
}

/// As long as Vault's AWS engine waits before it believes "not found" (hashicorp/vault #5202).
fn late_write_window() -> Ttl {
    secs(300)
}

fn orphan_grace() -> Ttl {
    secs(900)
}

fn calls_per_second() -> u32 {
    15
}

impl AwsConfig {
    /// For the target.
    pub fn settings(&self) -> AwsSettings {
        let account = |(id, account): (&String, &AccountConfig)| {
            let settings = AccountSettings {
                role: account.role.clone(),
                external_id: account.external_id.clone(),
                calls_per_second: account.calls_per_second,
            };
            (id.clone(), settings)
        };
        AwsSettings {
            accounts: self.accounts.iter().map(account).collect(),
            read_back_delay: self.read_back_delay.into(),
            late_write_window: self.late_write_window.into(),
        }
    }

    /// Checks the section; the error names the key, what was expected and what was found.
    pub fn check(&self) -> Result<(), String> {
        if self.accounts.is_empty() {
            return Err("`aws.accounts`: expected at least one account, found none".to_owned());
        }
        self.accounts.iter().try_for_each(|(id, account)| account.check(id))
    }
}

impl AccountConfig {
    fn check(&self, id: &str) -> Result<(), String> {
        let key = format!("aws.accounts.{id}");
        if !is_account(id) {
            return Err(format!("`{key}`: expected an account's twelve digits, found `{id}`"));
        }
        if let Some(role) = &self.role {
            let arn =
                IamArn::parse(role, IamKind::Role).map_err(|problem| format!("`{key}.role`: {problem}"))?;
            if arn.account() != id {
                return Err(format!("`{key}.role`: `{role}` is not in this account"));
            }
        }
        if self.external_id.is_some() && self.role.is_none() {
            return Err(format!("`{key}.external_id` is for a role: expected `role` beside it"));
        }
        if self.calls_per_second == 0 {
            return Err(format!("`{key}.calls_per_second`: expected at least 1, found 0"));
        }
        Ok(())
    }
}
