//! The facts of a decision: everything that rules can see, recorded with the decision so that it can be made again.
//!
//! Nothing in them comes from the client's own reports. They contain personal data only in [`IdentityFacts`] (the account
//! that started a run) and [`ObservedFacts`] (its address).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use protocol::{AgentId, Facts, Platform, PolicyName, Timestamp, Trust, Ttl};
use serde::{Deserialize, Serialize};

use crate::boundary::{ScopeName, TargetKind};
use crate::registration::{Sensitivity, UseCase};
use crate::trust::Claims;

/// The version of this form. A later version reads facts of an earlier one.
pub const VERSION: u8 = 1;

/// Counts of grants stop here, so that reading them costs the same for any number of grants.
pub const COUNTED: u32 = 250;

/// The facts of one decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionFacts {
    /// [`VERSION`].
    pub version: u8,
    /// 32 random hexadecimal digits. The timeline has the digest of the facts; without these digits, erased facts
    /// cannot be found by trying values.
    pub nonce: String,
    /// The time of the decision.
    pub at: Timestamp,
    /// The local time in each zone that the rules name.
    pub local: BTreeMap<String, LocalTime>,
    /// The agent, as registered.
    pub agent: AgentFacts,
    /// The request.
    pub request: RequestFacts,
    /// What the issuer signed.
    pub identity: IdentityFacts,
    /// What the broker observed.
    pub observed: ObservedFacts,
    /// What each source says about the request's subjects. A source that is silent or late is not in it.
    pub posture: BTreeMap<String, PostureFacts>,
    /// Other grants of this agent and run.
    pub run: RunFacts,
}

/// A local time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalTime {
    /// `2026-11-29`.
    pub date: String,
    /// 1 for Monday to 7 for Sunday.
    pub weekday: u8,
    /// Milliseconds of the wall clock since midnight. On a day when the clock is changed, the clock's reading counts, and
    /// not how much time has passed.
    pub millis: u32,
}

/// The agent of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFacts {
    /// The agent's id.
    pub id: AgentId,
    /// The registration's use case.
    pub use_case: UseCase,
    /// The registration's labels.
    pub labels: BTreeMap<String, String>,
    /// The registration's groups.
    pub groups: BTreeSet<String>,
    /// SHA-256 of the registration's text.
    pub registration: String,
}

/// The requested access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestFacts {
    /// The scope of the boundary.
    pub scope: ScopeName,
    /// The kind of target.
    pub target: TargetKind,
    /// The account at the target, if it has accounts.
    pub account: Option<String>,
    /// The requested duration.
    pub ttl: Ttl,
    /// Whether the client sends heartbeats.
    pub heartbeat: bool,
    /// The requested policies.
    pub policies: Vec<PolicyFacts>,
}

/// A requested policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFacts {
    /// The policy's name.
    pub name: PolicyName,
    /// As the registration says.
    pub sensitivity: Sensitivity,
    /// SHA-256 of what the policy means at the target.
    pub digest: String,
}

/// What proved the identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityFacts {
    /// An OIDC token, or the auth token alone.
    pub trust: Trust,
    /// The platform of the issuer.
    pub platform: Option<Platform>,
    /// The token's `iss`.
    pub issuer: Option<String>,
    /// The token's `sub`.
    pub subject: Option<String>,
    /// Facts about the run, under the same names for every platform.
    pub signed: Facts,
    /// Every verified claim except `jti`.
    pub claims: Claims,
}

/// What the broker observed of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedFacts {
    /// The source address.
    pub address: Option<IpAddr>,
    /// The two-letter country of the address, by the configured database.
    pub country: Option<String>,
}

/// What one source says about the subjects of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostureFacts {
    /// Whether all the source says is good.
    pub ok: bool,
    /// Since when the source knows; of several statements the oldest.
    pub as_of: Timestamp,
    /// The end of the statement; of several the earliest.
    pub expires_at: Timestamp,
}

/// Grants at the time of the decision, without the one that is decided; each counted up to [`COUNTED`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFacts {
    /// Live grants of this agent and run.
    pub live: u32,
    /// Grants of this agent and run in the last hour.
    pub last_hour: u32,
    /// Live grants of this agent.
    pub agent_live: u32,
    /// Grants of this agent in the last hour.
    pub agent_last_hour: u32,
}

/// The subjects that a posture source can speak of: `agent/deploy`, and `NAME/VALUE` for each signed fact:
/// `repository/octo-org/app`.
pub fn subjects(agent: &AgentId, signed: &Facts) -> Vec<String> {
    let agent = std::iter::once(format!("agent/{agent}"));
    agent.chain(signed.iter().map(|(name, value)| format!("{name}/{value}"))).collect()
}
