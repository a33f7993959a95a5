//! What does a workload ask for?

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
    /// `CLOUDANIX_AGENT_ID`; must be the auth token's agent.
    pub agent_id: AgentId,
    /// The workload's own OIDC token.
    #[serde(default, serialize_with = "secret::on_the_wire_if_any", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Password))]
    pub oidc_token: Option<Secret>,
    /// At least one, at most ten.
    pub policies: Vec<PolicyName>,
    /// For how long at the most.
    pub ttl: Ttl,
    /// Where; the boundary's target when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Why, for the timeline. At most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The holder will beat; the grant ends when it falls silent.
    #[serde(default)]
    pub heartbeat: bool,
    /// What the client sees of its run: recorded as said, not as proven.
    #[serde(default)]
    pub claimed: Facts,
}

/// The answer to a dry run (`?dry_run=true`): what elevate would say, with nothing given or recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decision {
    /// The agent that both credentials lead to.
    pub agent_id: AgentId,
    /// What would be given.
    pub policies: Vec<PolicyName>,
    /// Where.
    pub target: String,
    /// For how long.
    pub ttl: Ttl,
    /// The agent's longest session.
    pub max_session: Ttl,
    /// Each check that was passed, in words.
    pub checks: Vec<String>,
}
