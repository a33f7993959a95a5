//! The request for a grant, and the decision of a dry run.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Facts, PolicyName, Secret, Ttl, secret};

/// The most policies that one request may name.
pub const MAX_POLICIES: usize = 10;
/// The longest `target`, in characters.
pub const MAX_TARGET: usize = 64;
/// The longest `reason`, in characters.
pub const MAX_REASON: usize = 512;
/// The longest body of any request, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The body of `POST /v2/agentic/jit`. The idempotency key is in the header `Idempotency-Key`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ElevateRequest {
    /// The agent (`CLOUDANIX_AGENT_ID`); the auth token must be this agent's.
    pub agent_id: AgentId,
    /// The workload's OIDC token.
    #[serde(default, serialize_with = "secret::on_the_wire_if_any", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Password))]
    pub oidc_token: Option<Secret>,
    /// The requested policies: at least one, at most ten.
    pub policies: Vec<PolicyName>,
    /// The requested length of the grant.
    pub ttl: Ttl,
    /// The name of a scope of the boundary; needed only if the boundary has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The reason, for the timeline. At most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the client sends heartbeats; the grant is then revoked when they stop.
    #[serde(default)]
    pub heartbeat: bool,
    /// Facts that the client reports about its run. Recorded as unverified.
    #[serde(default)]
    pub claimed: Facts,
}

/// The answer to a dry run (`?dry_run=true`): the decision on the request. It is recorded, and nothing is provisioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decision {
    /// The agent that the credentials identify.
    pub agent_id: AgentId,
    /// The policies that would be granted.
    pub policies: Vec<PolicyName>,
    /// The scope of the boundary.
    pub target: String,
    /// The length of the grant.
    pub ttl: Ttl,
    /// The longest session in this scope.
    pub max_session: Ttl,
    /// The checks that passed, as text.
    pub checks: Vec<String>,
}
