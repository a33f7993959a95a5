//! What does an operator see of an agent?

use serde::{Deserialize, Serialize};

use crate::{AgentId, Secret, Timestamp, Ttl, secret};

/// Whether an agent may elevate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AgentStatus {
    /// It may.
    Active,
    /// An operator switched it off; its live grants were ended.
    Disabled,
}

/// One auth token of an agent, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenInfo {
    /// The 12 digits after `cjat_`.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops being accepted; absent while it is the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// One registered agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// For people.
    pub description: String,
    /// `build-workflow`, `cloud-workload`, `pod-identity` or `other`.
    pub use_case: String,
    /// The longest grant.
    pub max_session: Ttl,
    /// Where its grants are given.
    pub target: String,
    /// Whether it may elevate.
    pub status: AgentStatus,
    /// When it was first registered.
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
    /// By id.
    pub agents: Vec<Agent>,
    /// Give this as `after` for the next page; absent on the last.
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
    /// Shown once, when the agent is new.
    #[serde(default, serialize_with = "secret::on_the_wire_if_any", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Password))]
    pub auth_token: Option<Secret>,
    /// What the operator should know of the registration, in words; it was applied all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Outcome {
    /// The agent is new.
    Created,
    /// The agent existed and changed.
    Updated,
    /// The agent existed as it is.
    Unchanged,
}

/// The answer to a rotation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rotated {
    /// The agent.
    pub agent_id: AgentId,
    /// The new token, shown once.
    #[serde(serialize_with = "secret::on_the_wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    pub auth_token: Secret,
    /// Until when the old tokens are still accepted.
    pub previous_expire_at: Timestamp,
}

/// The body of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotateRequest {
    /// How long the old tokens are still accepted; not at all when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Ttl>,
}

/// What ends with an agent that is switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Disabled {
    /// The agent.
    pub agent_id: AgentId,
    /// How many live grants are being ended.
    pub grants_ending: u32,
}
