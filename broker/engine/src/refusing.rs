//! What is kept of a request that gets nothing, and what does it cost its sender?

use domain::grant::Request;
use domain::{Grant, ReplayGuard};
use protocol::{AgentId, ErrorCode, Timestamp};
use sha2::{Digest, Sha256};
use store::{DenialOutcome, DeniedRequest};

use crate::budgets::Kind;
use crate::{Engine, Refusal};

impl Engine {
    /// Records a request that the boundary refuses, and says what the caller gets. Its token is used up: one token is
    /// one decision, and not an unlimited number of refusals.
    pub(crate) async fn deny(
        &self,
        mut terms: Request,
        now: Timestamp,
        denied: policy::Denied,
        replay: Option<&ReplayGuard>,
    ) -> Refusal {
        let (key, agent) = (terms.key.clone(), terms.agent_id.clone());
        terms.request_hash = hash_of_denied(&terms);
        let moved = Grant::denied(terms, now, denied.code, &denied.detail);
        match self.store.record_denied(DeniedRequest { transition: &moved, key: &key, replay }).await {
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

    /// The identity was not proven. `refusal` says why, unless that has been said often enough.
    pub(crate) fn unproven(&self, agent: &AgentId, refusal: Refusal) -> Refusal {
        self.counters.authentication_failures();
        self.budgets.take(Kind::Unproven, agent, self.clock.now()).err().unwrap_or(refusal)
    }

    /// The token had been used. A copy of a used token proves nothing, so it must not cost the agent what this kind of
    /// request has cost it.
    pub(crate) fn replayed(&self, kind: Kind, agent: &AgentId) -> Refusal {
        self.budgets.put_back(kind, agent);
        let refusal = Refusal::new(
            ErrorCode::OidcTokenReplayed,
            "the OIDC token was used before: expected one that was minted for this elevation",
        )
        .hint("mint a fresh token for each elevation; two jobs cannot share one");
        self.unproven(agent, refusal)
    }
}

/// Requests with the same hash are recorded once: the same question of the same workload. Its runs are counted together,
/// or every run of a pipeline that asks for too much would be a row.
fn hash_of_denied(terms: &Request) -> String {
    let mut hasher = Sha256::new();
    let provenance = &terms.provenance;
    for part in [Some(&terms.request_hash), provenance.issuer.as_ref(), provenance.subject.as_ref()] {
        let part = part.map_or("", String::as_str);
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    format!("{:x}", hasher.finalize())
}
