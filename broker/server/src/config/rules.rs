//! `[rules]` and `[posture.NAME]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use engine::{PostureSource, Transmitter};
use protocol::{Facts, OperatorName};
use serde::Deserialize;

use super::tokens;

/// `[rules]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// The folder of rules (`*.cedar`) and test cases (`*.toml`).
    pub folder: Option<PathBuf>,
    /// How long decisions are kept, with their facts.
    pub keep_decisions_days: u32,
    /// A database of countries by address, in MaxMind's format.
    pub country_database: Option<PathBuf>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { folder: None, keep_decisions_days: 90, country_database: None }
    }
}

impl Rules {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let days = self.keep_decisions_days;
        anyhow::ensure!(
            (2..=3650).contains(&days),
            "`rules.keep_decisions_days`: expected 2 to 3650, found {days}: a live grant is decided again from its decision"
        );
        Ok(())
    }

    pub(super) fn keep_decisions(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_decisions_days) * 86_400)
    }
}

/// `[posture.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// SHA-256 of the source's token, in hexadecimal; none for a transmitter of security events.
    #[serde(default)]
    pub sha256: Option<String>,
    /// How long a finding holds.
    pub max_age_minutes: u32,
    /// The source pushes security events.
    #[serde(default)]
    pub security_events: Option<SecurityEvents>,
}

/// `[posture.NAME.security_events]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityEvents {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` of its tokens.
    pub audience: String,
    /// The signed fact that its subjects are values of.
    pub subject: String,
    /// The member of a complex subject that counts.
    #[serde(default = "user")]
    pub member: String,
}

fn user() -> String {
    "user".to_owned()
}

pub(super) fn check_sources(sources: &BTreeMap<OperatorName, Source>) -> anyhow::Result<()> {
    for (name, source) in sources {
        anyhow::ensure!(
            source.sha256.is_some() || source.security_events.is_some(),
            "`posture.{name}`: expected `sha256` (of the source's token) or `[posture.{name}.security_events]`, found neither"
        );
        anyhow::ensure!(
            source.sha256.as_deref().is_none_or(tokens::is_hash),
            "`posture.{name}.sha256`: expected SHA-256 in 64 hexadecimal digits, as `cloudanix-jit-broker posture-token` \
             prints it"
        );
        if let Some(SecurityEvents { issuer, subject, .. }) = &source.security_events {
            domain::registration::check_issuer(issuer)
                .map_err(|problem| anyhow::anyhow!("`posture.{name}.security_events.issuer`: {problem}"))?;
            anyhow::ensure!(
                Facts::NAMES.contains(&subject.as_str()) || subject == "agent",
                "`posture.{name}.security_events.subject`: expected `agent` or one of `{}`, found `{subject}`",
                Facts::NAMES.join("`, `")
            );
        }
        let minutes = source.max_age_minutes;
        anyhow::ensure!(
            (1..=43_200).contains(&minutes),
            "`posture.{name}.max_age_minutes`: expected 1 to 43200 (30 days), found {minutes}"
        );
    }
    Ok(())
}

/// As the engine takes them.
pub(super) fn sources(sources: &BTreeMap<OperatorName, Source>) -> Vec<PostureSource> {
    let source = |(name, source): (&OperatorName, &Source)| PostureSource {
        name: name.to_string(),
        token_hash: source.sha256.clone(),
        max_age: Duration::from_secs(u64::from(source.max_age_minutes) * 60),
        transmitter: source.security_events.as_ref().map(|events| Transmitter {
            issuer: events.issuer.clone(),
            audience: events.audience.clone(),
            fact: events.subject.clone(),
            member: events.member.clone(),
        }),
    };
    sources.iter().map(source).collect()
}
