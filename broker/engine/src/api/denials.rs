//! Records denied requests, and counts requests that fail against their own limits.

use domain::grant::Request;
use domain::{Decision, Grant, ReplayGuard};
use protocol::{AgentId, ErrorCode, Timestamp};
use store::{DenialOutcome, DeniedRequest};

use crate::auth::hash_of_parts;
use crate::request_limits::Kind;
use crate::rules::decide::summary;
use crate::{Engine, Refusal};

impl Engine {
    /// Records a request that the boundary or a rule denies, and returns the error for the caller. Its OIDC token is
    /// consumed: one token is one decision.
    pub(crate) async fn deny(
        &self,
        mut terms: Request,
        now: Timestamp,
        denied: policy::Denied,
        replay: Option<&ReplayGuard>,
        decision: &Decision,
    ) -> Refusal {
        let (key, agent) = (terms.key.clone(), terms.agent_id.clone());
        terms.request_hash = hash_of_denied(&terms);
        let moved = Grant::denied(terms, now, denied.code, &denied.detail).decided(&summary(decision));
        let request = DeniedRequest { transition: &moved, key: &key, replay, decision: Some(decision) };
        match self.store.record_denied(request).await {
            Ok(DenialOutcome::New | DenialOutcome::Again) => self.counters.grants_denied(),
            Ok(DenialOutcome::Full) => {
                self.counters.grants_denied();
                self.counters.denials_not_recorded();
                tracing::warn!(%agent, "a refused request is not recorded: too many of this agent are");
            }
            Ok(DenialOutcome::Replayed) => return self.replayed(Kind::Denied, &agent),
            Err(error) => {
                self.counters.grants_denied();
                return error.into();
            }
        }
        denied.into()
    }

    /// Counts a request whose identity is not proven. Returns `refusal`, or the rate limit's error.
    pub(crate) fn unproven(&self, agent: &AgentId, refusal: Refusal) -> Refusal {
        self.counters.authentication_failures();
        self.request_limits.acquire(Kind::Unproven, agent, self.clock.now()).err().unwrap_or(refusal)
    }

    /// Refuses an OIDC token that was used before. A copied token proves nothing, so the request is counted as unproven
    /// and not against the agent's own limit.
    pub(crate) fn replayed(&self, kind: Kind, agent: &AgentId) -> Refusal {
        self.request_limits.refund(kind, agent);
        let refusal = Refusal::new(
            ErrorCode::OidcTokenReplayed,
            "the OIDC token was used before: expected one that was minted for this elevation",
        )
        .hint("mint a fresh token for each elevation; two jobs cannot share one");
        self.unproven(agent, refusal)
    }
}

/// Requests with the same hash are one record with a count. The run is not part of the hash, or each run of a pipeline
/// that requests too much would be a record.
fn hash_of_denied(terms: &Request) -> String {
    let provenance = &terms.provenance;
    let parts = [Some(&terms.request_hash), provenance.issuer.as_ref(), provenance.subject.as_ref()];
    hash_of_parts(parts.map(|part| part.map_or("", String::as_str)))
}
