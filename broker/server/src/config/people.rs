//! `[people]`: the provider at which persons sign in, and the rules of what they may do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use engine::People;
use identity::{Http, SignIn, SignInConfig};
use policy::PeopleRules;
use protocol::{Platform, Secret};
use serde::Deserialize;

/// `[people]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeopleConfig {
    /// The OIDC issuer.
    pub issuer: String,
    /// The broker's id as a client of the issuer.
    pub client_id: String,
    /// A file with the client's secret and nothing else; none for a public client.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// The file with the rules of what persons may do (Cedar).
    pub rules: PathBuf,
    /// The scopes that are requested beside `openid`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim with the person's groups.
    #[serde(default = "groups_claim")]
    pub groups_claim: String,
    /// The claim with the person's account at each CI platform: `github`, `gitlab`, `forgejo`, `bitbucket`. Without it,
    /// persons cannot approve requests of runs that an account of the platform started.
    #[serde(default)]
    pub accounts: BTreeMap<String, String>,
    /// How old a sign-in may be for an approval of a policy of high sensitivity.
    #[serde(default = "fresh_minutes")]
    pub fresh_minutes: u32,
    /// How long a request waits for approval.
    #[serde(default = "approval_minutes")]
    pub approval_minutes: u32,
    /// The longest session.
    #[serde(default = "session_hours")]
    pub session_hours: u32,
    /// A session that is not used for so long ends.
    #[serde(default = "idle_minutes")]
    pub idle_minutes: u32,
}

fn scopes() -> Vec<String> {
    vec!["profile".to_owned()]
}

fn groups_claim() -> String {
    "groups".to_owned()
}

fn fresh_minutes() -> u32 {
    15
}

fn approval_minutes() -> u32 {
    60
}

fn session_hours() -> u32 {
    12
}

fn idle_minutes() -> u32 {
    60
}

impl PeopleConfig {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        domain::registration::check_issuer(&self.issuer)
            .map_err(|problem| anyhow::anyhow!("`people.issuer`: {problem}"))?;
        for (key, value, most) in [
            ("fresh_minutes", self.fresh_minutes, 24 * 60),
            ("approval_minutes", self.approval_minutes, 24 * 60),
            ("session_hours", self.session_hours, 24),
            ("idle_minutes", self.idle_minutes, 24 * 60),
        ] {
            anyhow::ensure!(
                (1..=most).contains(&value),
                "`people.{key}`: expected 1 to {most}, found {value}"
            );
        }
        let platforms = engine::PLATFORMS_OF_PERSONS.map(Platform::as_str);
        if let Some(unknown) = self.accounts.keys().find(|name| !platforms.contains(&name.as_str())) {
            anyhow::bail!(
                "`people.accounts`: expected the platforms {}, found `{unknown}`",
                platforms.join(", ")
            );
        }
        for scope in &self.scopes {
            // RFC 6749, appendix A.4
            let fits = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
            anyhow::ensure!(
                !scope.is_empty() && scope.bytes().all(fits),
                "`people.scopes`: expected names of scopes without spaces, found {scope:?}"
            );
        }
        Ok(())
    }

    /// The files that the table names.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        std::iter::once(&self.rules).chain(&self.client_secret_file).cloned().collect()
    }

    /// As the engine takes it; reads the files. `url` is the broker's.
    pub(super) fn read(&self, url: &str, http: Http) -> anyhow::Result<People> {
        let client_secret = self.client_secret_file.as_deref().map(secret).transpose()?;
        let session = Duration::from_secs(u64::from(self.session_hours) * 3600);
        let sign_in = SignInConfig {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret,
            redirect_uri: format!("{url}{}", protocol::routes::SIGN_IN_CALLBACK),
            scopes: self.scopes.clone(),
            groups_claim: self.groups_claim.clone(),
            account_claims: self.accounts.clone(),
            max_age: session,
        };
        Ok(People {
            sign_in: SignIn::new(sign_in, http),
            rules: rules(&self.rules)?,
            session,
            fresh: Duration::from_secs(u64::from(self.fresh_minutes) * 60),
            approval: Duration::from_secs(u64::from(self.approval_minutes) * 60),
            idle: Duration::from_secs(u64::from(self.idle_minutes) * 60),
        })
    }
}

fn secret(path: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("`people.client_secret_file`: cannot read `{}`", path.display()))?;
    let secret = Secret::new(text.trim());
    anyhow::ensure!(
        !secret.is_empty(),
        "`people.client_secret_file`: expected a secret in `{}`, found none",
        path.display()
    );
    Ok(secret)
}

fn rules(path: &Path) -> anyhow::Result<PeopleRules> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("`people.rules`: cannot read `{}`", path.display()))?;
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let rules = PeopleRules::parse(&name, &text)
        .with_context(|| format!("`people.rules`: the rules in `{}` are refused", path.display()))?;
    for warning in rules.warnings() {
        tracing::warn!(warning, "a rule of persons");
    }
    Ok(rules)
}
