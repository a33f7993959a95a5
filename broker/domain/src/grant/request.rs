//! What is asked for, and how does it begin a timeline?

use protocol::{
    AgentId, EnforcedBy, EventKind, GrantId, IdempotencyKey, PolicyName, Provenance, Timestamp, Trust, Ttl,
};

use super::{Grant, State, Step};
use crate::boundary::TargetKind;
use crate::event::NewEvent;

/// What a grant is made of, once it is permitted.
#[derive(Debug, Clone)]
pub struct Request {
    /// The new grant's id.
    pub id: GrantId,
    /// Whose.
    pub agent_id: AgentId,
    /// The client's key.
    pub key: IdempotencyKey,
    /// SHA-256 of what was asked.
    pub request_hash: String,
    /// What.
    pub policies: Vec<PolicyName>,
    /// Where.
    pub target: TargetKind,
    /// For how long.
    pub ttl: Ttl,
    /// Why.
    pub reason: Option<String>,
    /// Where from.
    pub provenance: Provenance,
}

impl Request {
    pub(super) fn asked(&self, now: Timestamp) -> NewEvent {
        let policies = self.policies.iter().map(PolicyName::as_str).collect::<Vec<_>>().join(", ");
        let mut event =
            NewEvent::new(now, EventKind::Elevate, format!("{} · {policies} · {}", self.agent_id, self.ttl))
                .with("policies", policies)
                .with("ttl", self.ttl)
                .with("target", self.target);
        if let Some(reason) = &self.reason {
            event = event.with("reason", reason);
        }
        for (name, fact) in self.provenance.signed.iter() {
            event = event.with(&format!("signed.{name}"), fact);
        }
        for (name, fact) in self.provenance.claimed.iter() {
            event = event.with(&format!("claimed.{name}"), fact);
        }
        if let Some(issuer) = &self.provenance.issuer {
            event = event.with("issuer", issuer);
        }
        if let Some(subject) = &self.provenance.subject {
            event = event.with("subject", subject);
        }
        event
    }

    pub(super) fn trusted(&self, now: Timestamp) -> Option<NewEvent> {
        match self.provenance.trust {
            Trust::Oidc => None,
            Trust::AuthTokenOnly => Some(NewEvent::new(
                now,
                EventKind::Danger,
                "trusted by its auth token alone · nothing signed says which run this is",
            )),
        }
    }

    pub(super) fn into_grant(
        self,
        now: Timestamp,
        key: Option<IdempotencyKey>,
        enforced_by: EnforcedBy,
        steps: Vec<Step>,
        state: State,
    ) -> Grant {
        Grant {
            id: self.id,
            agent_id: self.agent_id,
            key,
            request_hash: self.request_hash,
            policies: self.policies,
            target: self.target,
            ttl: self.ttl,
            reason: self.reason,
            provenance: self.provenance,
            requested_at: now,
            expires_at: now.plus(self.ttl.into()),
            enforced_by,
            steps,
            late_until: None,
            sweep_at: None,
            state,
        }
    }
}
