//! Who asks, once it is proven?

use protocol::{AgentId, Provenance, Timestamp};

/// A workload that was proven to be an agent. Made by the identity crate; the rest of the broker acts on
/// nothing less.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The agent that both credentials lead to.
    pub agent_id: AgentId,
    /// Where the request comes from.
    pub provenance: Provenance,
    /// Which run asks, as closely as its issuer signs it; none where nothing signed says so.
    pub run: Option<String>,
    /// How a second use of the same token is recognised; none without a token.
    pub replay: Option<ReplayGuard>,
}

/// What has to be remembered of a token so that it is not used for somebody else. The first use writes
/// `token_hash` with `bound_to`; a later use must present the same `bound_to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayGuard {
    /// SHA-256 of issuer and `jti`, or of the token where its issuer gives no `jti`; in hexadecimal.
    pub token_hash: String,
    /// For a token that one job uses several times: agent, run and job. Empty for a token that is used once;
    /// the idempotency key of its one elevation takes the place.
    pub bound_to: Option<String>,
    /// When the token is of no use any more and can be forgotten.
    pub forget_after: Timestamp,
}
