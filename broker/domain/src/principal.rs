//! The verified caller of a request.

use protocol::{AgentId, Provenance, Timestamp};

use crate::trust::Claims;

/// A workload that proved to be an agent. Only the identity crate creates one.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The agent that the auth token and the OIDC token name.
    pub agent_id: AgentId,
    /// Where the request comes from.
    pub provenance: Provenance,
    /// Every verified claim except `jti`, for rules. Empty without a token.
    pub claims: Claims,
    /// The run of the caller, as closely as its issuer signs it; none if no signed claim names it.
    pub run: Option<String>,
    /// Recognises a second use of the OIDC token; none without a token.
    pub replay: Option<ReplayGuard>,
}

/// Binds a token to its first use, so that no other caller can use a copy. The first use stores `token_hash` with
/// `bound_to`; a later use must have the same `bound_to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayGuard {
    /// SHA-256 of issuer and `jti`, or of the token where its issuer signs no `jti`, or of a break-glass code; in
    /// hexadecimal.
    pub token_hash: String,
    /// For a token that one job uses several times: agent, run and job. Empty for a token that is used once;
    /// the idempotency key of its one elevation takes the place.
    pub bound_to: Option<String>,
    /// When the token has expired and the record can be deleted.
    pub forget_after: Timestamp,
}
