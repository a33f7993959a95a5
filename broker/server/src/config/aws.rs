//! `[aws]`: the accounts of the target, their roles, and the limits of calls.

use std::collections::BTreeMap;

use domain::aws::{IamArn, IamKind, is_account};
use engine::{Orphans, Reconciling};
use protocol::Ttl;
use serde::Deserialize;
use targets::aws::{AccountSettings, AwsSettings};

/// The `aws` target. The broker's own credentials come from the SDK's standard chain.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aws {
    /// Accounts by their twelve-digit ids.
    pub accounts: BTreeMap<String, AwsAccount>,
    /// How long after a revert the broker verifies it.
    #[serde(default = "settle")]
    pub settle: Ttl,
    /// How long after a timed-out call AWS may still apply it.
    #[serde(default = "late")]
    pub late: Ttl,
    /// How often the reconciler compares the accounts with the store.
    #[serde(default = "late")]
    pub reconcile_every: Ttl,
    /// How long an orphan is left alone.
    #[serde(default = "orphan_grace")]
    pub orphan_grace: Ttl,
    /// What the reconciler does with an orphan after that.
    #[serde(default)]
    pub orphans: OrphanRule,
}

/// What the reconciler does with orphans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrphanRule {
    /// Removes them.
    #[default]
    Remove,
    /// Only reports them.
    Report,
}

/// Settings of one account.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsAccount {
    /// The role that the broker assumes in the account; without it the broker uses its own credentials.
    #[serde(default)]
    pub role: Option<String>,
    /// The external id that the role's trust policy requires.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Most calls per second to the account.
    #[serde(default = "calls_per_second")]
    pub calls_per_second: u32,
}

fn secs(secs: u32) -> Ttl {
    #[expect(clippy::expect_used, reason = "called with constants that are valid durations")]
    Ttl::from_secs(secs).expect("a valid duration")
}

fn settle() -> Ttl {
    secs(5)
}

/// How long Vault's AWS engine waits before it trusts a "not found" (hashicorp/vault #5202).
fn late() -> Ttl {
    secs(300)
}

fn orphan_grace() -> Ttl {
    secs(900)
}

fn calls_per_second() -> u32 {
    15
}

impl Aws {
    /// Settings of the target.
    pub fn settings(&self) -> AwsSettings {
        let account = |(id, account): (&String, &AwsAccount)| {
            let settings = AccountSettings {
                role: account.role.clone(),
                external_id: account.external_id.clone(),
                calls_per_second: account.calls_per_second,
            };
            (id.clone(), settings)
        };
        AwsSettings {
            accounts: self.accounts.iter().map(account).collect(),
            settle: self.settle.into(),
            late: self.late.into(),
        }
    }

    /// Settings of the reconciler.
    pub fn reconciling(&self) -> Reconciling {
        Reconciling {
            every: self.reconcile_every.into(),
            grace: self.orphan_grace.into(),
            orphans: match self.orphans {
                OrphanRule::Remove => Orphans::Remove,
                OrphanRule::Report => Orphans::Report,
            },
        }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.accounts.is_empty(),
            "`aws.accounts`: expected at least one account, found none"
        );
        for (id, account) in &self.accounts {
            let key = format!("aws.accounts.{id}");
            anyhow::ensure!(is_account(id), "`{key}`: expected an account's twelve digits, found `{id}`");
            if let Some(role) = &account.role {
                let arn = IamArn::parse(role, IamKind::Role)
                    .map_err(|problem| anyhow::anyhow!("`{key}.role`: {problem}"))?;
                anyhow::ensure!(arn.account() == id, "`{key}.role`: `{role}` is not in this account");
            }
            anyhow::ensure!(
                account.external_id.is_none() || account.role.is_some(),
                "`{key}.external_id` is for a role: expected `role` beside it"
            );
            anyhow::ensure!(
                account.calls_per_second > 0,
                "`{key}.calls_per_second`: expected at least 1, found 0"
            );
        }
        Ok(())
    }
}
