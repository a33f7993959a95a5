//! Requests that wait for the approval of persons, and votes.

use serde::{Deserialize, Serialize};

use crate::{Grant, GrantId, Person, PolicyName, StandingApprovalId, Timestamp};

/// The longest reason of a vote, in characters.
pub const MAX_BECAUSE: usize = 1000;

/// The approval that a grant needs, and who has given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approval {
    /// SHA-256, in hexadecimal, of everything that is to be approved. A vote counts for this digest alone.
    pub digest: String,
    /// How many persons have to approve.
    pub quorum: u32,
    /// The rules that ask for the approval. Empty if no rule permits the request without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The persons who approved, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<Approver>,
    /// When the last of them approved. The client has to elevate again before `until`, with the same idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Timestamp>,
    /// Until when it has to be approved, or elevated again after the approval. Absent once the grant has its access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A person who approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approver {
    /// The person.
    pub person: Person,
    /// When.
    pub at: Timestamp,
    /// The standing approval with which the person had approved in advance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing_approval: Option<StandingApprovalId>,
}

/// A requested policy, with what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RequestedPolicy {
    /// The name in the agent's boundary.
    pub name: PolicyName,
    /// How much harm it can do, as registered: `low`, `normal` or `high`.
    pub sensitivity: String,
    /// What it permits at the target. Absent if the boundary does not have the policy any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
}

/// A request that waits for approval, as persons see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalRequest {
    /// The grant that waits; `approval` is there.
    pub grant: Grant,
    /// The policies, with what they mean now.
    pub policies: Vec<RequestedPolicy>,
    /// The hints of the rules that ask for the approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// Requests that wait, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RequestList {
    /// The requests of agents that the caller may see.
    pub requests: Vec<ApprovalRequest>,
    /// The value of `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<GrantId>,
}

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Choice {
    /// The person approves.
    Approve,
    /// The person refuses, which ends the request.
    Deny,
}

/// The vote of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Vote {
    /// The digest of what the person was shown.
    pub digest: String,
    /// What the person decides.
    pub choice: Choice,
    /// Why, for the timeline and for the client: at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}
