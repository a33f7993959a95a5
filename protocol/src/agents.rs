//! Agents, their auth tokens and their registrations, as operators see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AgentId, GrantId, Secret, Timestamp, Ttl, secret};

/// Whether an agent may elevate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AgentStatus {
    /// The agent may elevate.
    Active,
    /// An operator disabled the agent, which ended its live grants.
    Disabled,
}

impl AgentStatus {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// One auth token of an agent, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenInfo {
    /// The 12 digits after `cjat_`.
    pub id: String,
    /// When the token was made.
    pub created_at: Timestamp,
    /// When the token expires; absent for the current token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// One registered agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Agent {
    /// The agent's id.
    pub id: AgentId,
    /// A description for people.
    pub description: String,
    /// `build-workflow`, `cloud-workload`, `pod-identity` or `other`.
    pub use_case: String,
    /// The longest `ttl` of a grant.
    pub max_session: Ttl,
    /// The names of the boundary's scopes, as `--target` takes them.
    pub targets: Vec<String>,
    /// Whether the agent may elevate.
    pub status: AgentStatus,
    /// When the agent was first registered.
    pub created_at: Timestamp,
    /// When the registration last changed.
    pub updated_at: Timestamp,
    /// The registration as it was applied, in TOML.
    pub registration: String,
    /// Whether the registration comes from the folder that the broker's configuration names: another one would be replaced by
    /// the file again.
    #[serde(default)]
    pub from_file: bool,
    /// Auth tokens that are accepted now.
    pub tokens: Vec<TokenInfo>,
}

/// A page of agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentList {
    /// The agents in the order of their ids.
    pub agents: Vec<Agent>,
    /// The value of `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<AgentId>,
}

/// The answer to a registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Applied {
    /// The agent.
    pub agent_id: AgentId,
    /// What the registration did.
    pub outcome: Outcome,
    /// The first auth token of a new agent. Shown once.
    #[serde(default, serialize_with = "secret::on_the_wire_if_any", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Password))]
    pub auth_token: Option<Secret>,
    /// Warnings about a registration that was applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Outcome {
    /// The agent was created.
    Created,
    /// The registration was replaced.
    Updated,
    /// The registration was the same.
    Unchanged,
}

/// The answer to the rotation of an auth token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rotated {
    /// The agent.
    pub agent_id: AgentId,
    /// The new auth token. Shown once.
    #[serde(serialize_with = "secret::on_the_wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    pub auth_token: Secret,
    /// When the old tokens expire.
    pub previous_expire_at: Timestamp,
}

/// The body of the rotation of an auth token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotateRequest {
    /// How long the old tokens stay valid; they expire at once by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Ttl>,
}

/// The answer to the disabling of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Disabled {
    /// The agent.
    pub agent_id: AgentId,
    /// How many live grants this ended.
    pub grants_ending: u32,
}

/// The body of `POST /v2/registrations/check`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckRegistration {
    /// The registration file, in TOML.
    pub registration: String,
    /// A token of a workload, to see which trust rules accept it. It is not used up, and may have expired.
    #[serde(default, serialize_with = "secret::on_the_wire_if_any", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Password))]
    pub token: Option<Secret>,
    /// In place of a token: a grant, whose recorded claims are tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

/// The answer to `POST /v2/registrations/check`. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegistrationChecked {
    /// The agent.
    pub agent_id: AgentId,
    /// Whether it is registered already.
    pub exists: bool,
    /// Whether a file in the broker's folder of registrations would replace this registration again.
    pub from_file: bool,
    /// Warnings about the registration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the trust rules say to the token or the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrustTrial>,
}

/// What trust rules say to a token, or to the recorded claims of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrustTrial {
    /// The claims, each as text.
    pub claims: BTreeMap<String, String>,
    /// Why the token itself is refused, apart from its claims: it has expired, or its signature does not verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TrustRefused>,
    /// Of each trust rule, in the order of the registration: why it refuses; null if it accepts.
    pub rules: Vec<Option<TrustRefused>>,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrustRefused {
    /// What was expected, and what was found.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl TrustTrial {
    /// Whether one of the rules accepts the claims.
    pub fn has_a_rule_that_accepts(&self) -> bool {
        self.rules.iter().any(Option::is_none)
    }
}
