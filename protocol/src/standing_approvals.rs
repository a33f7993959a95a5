//! Standing approvals: requests that a person approves in advance.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Person, PolicyName, StandingApprovalId, Timestamp, Ttl};

/// The most requests that one standing approval is for.
pub const MAX_USES: u32 = 100;
/// The longest time that a standing approval lasts, in hours.
pub const MAX_HOURS: u32 = 8;
/// The longest branch, tag or ref, in characters.
pub const MAX_REF: usize = 255;

/// What a person approves in advance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewStandingApproval {
    /// The agent whose requests are approved.
    pub agent_id: AgentId,
    /// The scope of the agent's boundary, or its target; required if the boundary has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The policies that a request may ask for, all of them or some.
    pub policies: Vec<PolicyName>,
    /// The signed branch, tag or ref of the run, as the platform writes it. Absent: any.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// For how many requests: 1 to 100.
    pub uses: u32,
    /// For how long: at most 8 hours.
    pub lasts: Ttl,
    /// Why, for the timelines of the grants: at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A standing approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StandingApproval {
    /// Its id: `sa-…`
    pub id: StandingApprovalId,
    /// Who approves.
    pub person: Person,
    /// The agent whose requests are approved.
    pub agent_id: AgentId,
    /// The scope of the agent's boundary.
    pub scope: String,
    /// The policies that a request may ask for.
    pub policies: Vec<PolicyName>,
    /// The signed branch, tag or ref of the run. Absent: any.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// For how many requests.
    pub uses: u32,
    /// How many it has approved.
    pub used: u32,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// When the person approved.
    pub created_at: Timestamp,
    /// The end.
    pub until: Timestamp,
}

/// Standing approvals in force, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StandingApprovalList {
    /// Those for agents that the caller may see.
    pub standing_approvals: Vec<StandingApproval>,
}
