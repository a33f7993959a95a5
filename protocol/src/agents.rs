//! Agents, their auth tokens and their registrations, as operators see them.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Secret, Timestamp, Ttl, secret};

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
