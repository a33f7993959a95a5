//! Observations: what would have been decided for steps that run without a grant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rules::Outcome;
use crate::{AgentId, PolicyName, Timestamp};

/// The answer to `POST /v2/observations`, whose body is that of an elevation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Observation {
    /// `obs-` and 16 hexadecimal digits.
    pub id: String,
    /// The agent.
    pub agent_id: AgentId,
    /// What would have been decided.
    pub outcome: Outcome,
    /// Why, if it is not `allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How the caller can resolve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The report over a time, agent by agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObservationReport {
    /// Since when.
    pub since: Timestamp,
    /// The agents that were observed.
    pub agents: Vec<ObservedAgent>,
}

/// What was observed of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObservedAgent {
    /// The agent.
    pub agent_id: AgentId,
    /// How many steps.
    pub observations: u64,
    /// How many of them ended in each outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Whether each of them would have been allowed: the agent can be switched to grants today.
    pub ready: bool,
    /// Why steps would not have been allowed, with how often.
    pub reasons: BTreeMap<String, u64>,
    /// By requested policies: what the steps called.
    pub used: Vec<ObservedUse>,
}

/// What the steps that requested one policy called with the credentials that they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObservedUse {
    /// The requested policies.
    pub policies: Vec<PolicyName>,
    /// Calls by name, with how often: `s3:PutObject`.
    pub actions: BTreeMap<String, u64>,
    /// Calls that succeeded, of which a policy document can be made.
    pub suggested: Vec<String>,
}
