//! Parses a registration file and checks it against every rule.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use protocol::{AgentId, Platform, Ttl};
use serde::{Deserialize, Serialize};

use crate::boundary::Boundary;
use crate::trust::{ClaimRule, Exception, TrustRule};

mod boundary;
mod issuer;
mod labels;
mod narrowing;

pub use issuer::{check as check_issuer, is_loopback};

/// The longest registration file, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// A registration that was parsed: it has a trust rule (or says that it is dangerous) and a boundary.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The agent's id.
    pub id: AgentId,
    /// For people.
    pub description: String,
    /// For reports.
    pub use_case: UseCase,
    /// For rules: `team = "payments"`.
    pub labels: BTreeMap<String, String>,
    /// For rules: an agent can be in several groups.
    pub groups: BTreeSet<String>,
    /// The longest grant.
    pub max_session: Ttl,
    /// Each of these rules proves the agent. An error if an earlier release accepted a rule that this one refuses.
    pub trust: Result<Vec<TrustRule>, InvalidRegistration>,
    /// Everything that the agent may ever be granted.
    pub boundary: Boundary,
    /// `dangerous.allow_auth_token_only`: the auth token alone is proof enough.
    pub auth_token_only: bool,
    /// A grant needs a holder that sends heartbeats.
    pub require_heartbeat: bool,
    /// How many grants one run may have at once; none for any number.
    pub max_active_grants_per_run: Option<NonZeroU32>,
}

/// The kind of workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UseCase {
    /// A CI pipeline.
    BuildWorkflow,
    /// A function, task or virtual machine.
    CloudWorkload,
    /// A pod's service account.
    PodIdentity,
    /// Anything else, AI agents among them.
    Other,
}

impl UseCase {
    /// As in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuildWorkflow => "build-workflow",
            Self::CloudWorkload => "cloud-workload",
            Self::PodIdentity => "pod-identity",
            Self::Other => "other",
        }
    }
}

/// How much harm a policy can do, for rules. The registration says it, policy by policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// Little.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Much.
    High,
}

impl Sensitivity {
    /// Every value.
    pub const ALL: &'static [Self] = &[Self::Low, Self::Normal, Self::High];

    /// As in the file and in rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// Why a registration is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidRegistration {
    /// Longer than [`MAX_BYTES`].
    #[error("the registration has {0} bytes: expected at most {MAX_BYTES}")]
    TooLong(usize),
    /// Not TOML, an unknown key, a missing key or a value of another type.
    #[error("the registration cannot be read: {}", .0.to_string().trim_end())]
    Toml(#[from] toml::de::Error),
    /// The file parses, but a value breaks a rule.
    #[error("`{key}`: {problem}")]
    Refused {
        /// Where: `trust[0].audience`.
        key: String,
        /// The expected and the found value.
        problem: String,
    },
}

fn refused(key: impl Into<String>, problem: impl Into<String>) -> InvalidRegistration {
    InvalidRegistration::Refused { key: key.into(), problem: problem.into() }
}

/// Parses a registration file and checks it against every rule.
pub fn parse(text: &str) -> Result<Registration, InvalidRegistration> {
    let registration = parse_stored(text)?;
    match &registration.trust {
        Ok(_) => Ok(registration),
        Err(refused) => Err(refused.clone()),
    }
}

/// Reads a registration that an earlier release accepted. If this release refuses its trust rules, the agent can still be
/// shown, disabled and replaced; it cannot elevate until it is replaced.
pub fn parse_stored(text: &str) -> Result<Registration, InvalidRegistration> {
    if text.len() > MAX_BYTES {
        return Err(InvalidRegistration::TooLong(text.len()));
    }
    let file: File = toml::from_str(text)?;
    let auth_token_only = file.dangerous.is_some_and(|dangerous| dangerous.allow_auth_token_only);
    if file.trust.is_empty() && !auth_token_only {
        return Err(refused(
            "trust",
            "no trust rule: expected at least one `[[trust]]` with issuer, audience and claims. For a platform \
             without OIDC, `allow_auth_token_only = true` under `[dangerous]` accepts the auth token alone",
        ));
    }
    let trust = file.trust.into_iter().enumerate().map(|(n, rule)| rule.check(n)).collect();
    let boundary = file.boundary.ok_or_else(|| {
        refused("boundary", "missing: expected `[boundary]` with a target and the permitted policies")
    })?;
    labels::check(&file.labels, &file.groups)?;
    Ok(Registration {
        id: file.id,
        description: file.description,
        use_case: file.use_case,
        labels: file.labels,
        groups: file.groups.into_iter().collect(),
        max_session: file.max_session,
        trust,
        boundary: boundary::parse(boundary, file.max_session)?,
        auth_token_only,
        require_heartbeat: file.require_heartbeat,
        max_active_grants_per_run: file
            .max_active_grants_per_run
            .map(|most| {
                u32::try_from(most).ok().and_then(NonZeroU32::new).ok_or_else(|| {
                    refused("max_active_grants_per_run", format!("expected 1 or more, found `{most}`"))
                })
            })
            .transpose()?,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: AgentId,
    #[serde(default)]
    description: String,
    use_case: UseCase,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    groups: Vec<String>,
    max_session: Ttl,
    #[serde(default)]
    require_heartbeat: bool,
    max_active_grants_per_run: Option<i64>,
    #[serde(default)]
    trust: Vec<TrustFile>,
    boundary: Option<toml::Table>,
    dangerous: Option<DangerousFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DangerousFile {
    #[serde(default)]
    allow_auth_token_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    issuer: String,
    audience: Option<String>,
    platform: Option<Platform>,
    #[serde(default)]
    claims: BTreeMap<String, ClaimFile>,
    #[serde(default)]
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, a list of strings or `{ glob = \"…\" }`")]
enum ClaimFile {
    One(String),
    AnyOf(Vec<String>),
    Glob(GlobFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GlobFile {
    glob: String,
}

impl TrustFile {
    fn check(self, n: usize) -> Result<TrustRule, InvalidRegistration> {
        let key = |name: &str| format!("trust[{n}].{name}");
        issuer::check(&self.issuer).map_err(|problem| refused(key("issuer"), problem))?;
        let audience = self.audience.filter(|audience| !audience.is_empty()).ok_or_else(|| {
            refused(
                key("audience"),
                "no audience: expected the `aud` that tokens for this broker carry, like `cloudanix-jit`",
            )
        })?;
        let platform = issuer::platform(&self.issuer, self.platform, key)?;
        let claims = self
            .claims
            .into_iter()
            .map(|(name, claim)| {
                let rule =
                    claim.check().map_err(|problem| refused(key(&format!("claims.{name}")), problem))?;
                Ok((name, rule))
            })
            .collect::<Result<BTreeMap<_, _>, InvalidRegistration>>()?;
        narrowing::check(platform, &self.issuer, &claims)
            .map_err(|problem| refused(key("claims"), problem))?;
        let allow = self
            .allow
            .iter()
            .map(|name| exception(name).map_err(|problem| refused(key("allow"), problem)))
            .collect::<Result<_, _>>()?;
        Ok(TrustRule { issuer: self.issuer, audience, platform, claims, allow })
    }
}

fn exception(name: &str) -> Result<Exception, String> {
    Exception::ALL.iter().copied().find(|exception| exception.as_str() == name).ok_or_else(|| {
        let known: Vec<_> = Exception::ALL.iter().map(|known| format!("`{}`", known.as_str())).collect();
        format!("`{name}` is unknown: expected {}", known.join(", "))
    })
}

impl ClaimFile {
    fn check(self) -> Result<ClaimRule, String> {
        let exact = |text: &String| {
            if text.contains('*') {
                Err(format!(
                    "`{text}` is compared letter for letter, `*` too: for a pattern write {{ glob = \"{text}\" }}"
                ))
            } else {
                Ok(())
            }
        };
        match self {
            Self::One(text) => exact(&text).map(|()| ClaimRule::AnyOf(vec![text])),
            Self::AnyOf(texts) if texts.is_empty() => {
                Err("an empty list: expected at least one value".to_owned())
            }
            Self::AnyOf(texts) => {
                texts.iter().try_for_each(exact)?;
                Ok(ClaimRule::AnyOf(texts))
            }
            Self::Glob(GlobFile { glob }) => ClaimRule::glob(&glob).map_err(|error| error.to_string()),
        }
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
