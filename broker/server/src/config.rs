//! What can be configured? One TOML file, every key checked; see docs/configuration.md.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use domain::aws::{IamArn, IamKind, is_account};
use engine::{Orphans, Reconciling};
use protocol::Ttl;
use serde::Deserialize;
use targets::aws::{AccountSettings, AwsSettings};

/// `serve --config FILE`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How the world reaches this broker; the issuer of `token` grants.
    pub url: String,
    /// `sqlite:` and the database file.
    pub database: String,
    /// Registration files (`*.toml`) that are applied at every start.
    #[serde(default)]
    pub agents: Option<PathBuf>,
    /// SHA-256 of tokens that may do everything.
    #[serde(default)]
    pub operator_token_hashes: Vec<String>,
    /// SHA-256 of tokens that may introspect.
    #[serde(default)]
    pub introspection_token_hashes: Vec<String>,
    /// Certificates (PEM) of private CAs that OIDC issuers use.
    #[serde(default)]
    pub oidc_ca_file: Option<PathBuf>,
    /// TLS; without it the broker listens on loopback only.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// The accounts of the `aws` target; without it the broker has none.
    #[serde(default)]
    pub aws: Option<Aws>,
}

/// The `aws` target. The broker's own credentials come from the SDK's standard chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aws {
    /// By their twelve digits.
    pub accounts: BTreeMap<String, AwsAccount>,
    /// How long after a change it is read back.
    #[serde(default = "settle")]
    pub settle: Ttl,
    /// For how long a call that was not answered may still arrive.
    #[serde(default = "late")]
    pub late: Ttl,
    /// How often the accounts are compared with the store.
    #[serde(default = "late")]
    pub reconcile_every: Ttl,
    /// How long what belongs to no live grant is left alone.
    #[serde(default = "orphan_grace")]
    pub orphan_grace: Ttl,
    /// What is done to it then.
    #[serde(default)]
    pub orphans: OrphanRule,
}

/// What is done to things of ours that belong to no live grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrphanRule {
    /// They are removed.
    #[default]
    Remove,
    /// They are only reported.
    Report,
}

/// One account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsAccount {
    /// The role by which the broker acts there; without one it acts as itself.
    #[serde(default)]
    pub role: Option<String>,
    /// What the role's trust policy asks for.
    #[serde(default)]
    pub external_id: Option<String>,
    /// How often the account may be called in a second.
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

/// What Vault's AWS engine waits before it believes that something is not there (hashicorp/vault #5202).
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
    /// For the target.
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

    /// For the reconciler.
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

    fn check(&self) -> anyhow::Result<()> {
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

/// The broker's own certificate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain in PEM.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// What is too much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many elevations one agent may ask for in a minute.
    pub elevations_per_minute: u32,
    /// How often a holder beats.
    pub heartbeat: Ttl,
    /// After how many days a new signing key is made.
    pub signing_key_days: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let engine = engine::Settings::default();
        let heartbeat =
            u32::try_from(engine.heartbeat.as_secs()).ok().and_then(|secs| Ttl::from_secs(secs).ok());
        Self {
            elevations_per_minute: engine.elevations_per_minute,
            #[expect(clippy::expect_used, reason = "the default is ten seconds")]
            heartbeat: heartbeat.expect("the default heartbeat is a valid duration"),
            signing_key_days: 30,
        }
    }
}

impl Config {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text).with_context(|| format!("in `{}`", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text)?;
        anyhow::ensure!(
            config.database_file().is_some(),
            "`database`: expected `sqlite:` and a path, found `{}`",
            config.database
        );
        let is_hash = |hash: &String| {
            hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        for (key, hashes) in [
            ("operator_token_hashes", &config.operator_token_hashes),
            ("introspection_token_hashes", &config.introspection_token_hashes),
        ] {
            anyhow::ensure!(
                hashes.iter().all(is_hash),
                "`{key}`: expected SHA-256 in 64 hexadecimal digits, as `cloudanix-jit-broker operator-token` prints it"
            );
        }
        anyhow::ensure!(
            !config.operator_token_hashes.is_empty(),
            "`operator_token_hashes` is empty: nobody could register an agent. Make a token with \
             `cloudanix-jit-broker operator-token`"
        );
        for (key, found) in [
            ("elevations_per_minute", config.limits.elevations_per_minute),
            ("signing_key_days", config.limits.signing_key_days),
        ] {
            anyhow::ensure!(found > 0, "`limits.{key}`: expected at least 1, found 0");
        }
        anyhow::ensure!(
            config.tls.is_some() || config.listen.ip().is_loopback(),
            "`listen`: `{}` is not a loopback address, and there is no `[tls]`: tokens would cross the network in the \
             clear. Add `[tls]`, or listen on 127.0.0.1 behind a proxy that ends TLS",
            config.listen
        );
        let authority =
            config.url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        anyhow::ensure!(
            config.url.starts_with("https://")
                || (config.url.starts_with("http://") && domain::registration::is_loopback(authority)),
            "`url`: expected https (or http for a loopback address), found `{}`",
            config.url
        );
        anyhow::ensure!(
            !config.url.ends_with('/'),
            "`url`: expected no slash at the end, found `{}`",
            config.url
        );
        if let Some(aws) = &config.aws {
            aws.check()?;
        }
        Ok(config)
    }

    /// The database file, if the URL names one.
    pub fn database_file(&self) -> Option<PathBuf> {
        let path = self.database.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        (!path.is_empty() && !path.contains('?')).then(|| PathBuf::from(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        listen = "127.0.0.1:8700"
        url = "https://jit.example.com"
        database = "sqlite:///var/lib/cloudanix-jit/broker.db"
        operator_token_hashes = ["0123456789012345678901234567890123456789012345678901234567890123"]
    "#;

    #[test]
    fn a_good_file() {
        let config = Config::parse(GOOD).unwrap();
        assert_eq!(config.database_file(), Some(PathBuf::from("/var/lib/cloudanix-jit/broker.db")));
        assert_eq!(config.limits.heartbeat.as_secs(), 10);
    }

    #[test]
    fn what_is_refused_and_the_reason() {
        for (from, to, reason) in [
            ("127.0.0.1:8700", "0.0.0.0:8700", "is not a loopback address"),
            ("https://jit.example.com", "http://jit.example.com", "expected https"),
            ("https://jit.example.com", "https://jit.example.com/", "no slash at the end"),
            ("sqlite:///var/lib/cloudanix-jit/broker.db", "mysql://x", "expected `sqlite:` and a path"),
            ("\"0123", "\"sha:", "expected SHA-256"),
            ("listen", "limits.signing_key_days = 0\nlisten", "expected at least 1"),
            ("listen", "limits.elevations_per_minute = 0\nlisten", "expected at least 1"),
            ("listen", "listne", "unknown field `listne`"),
            ("listen", "aws.accounts = {}\nlisten", "expected at least one account"),
            ("listen", "aws.accounts.1 = {}\nlisten", "twelve digits, found `1`"),
            ("listen", "aws.accounts.123456789012.role = \"x\"\nlisten", "is not a role's ARN"),
            ("listen", "aws.accounts.123456789012.external_id = \"x\"\nlisten", "expected `role` beside it"),
        ] {
            let error = format!("{:#}", Config::parse(&GOOD.replacen(from, to, 1)).unwrap_err());
            assert!(error.contains(reason), "expected {reason:?} in {error:?}");
        }
    }
}
