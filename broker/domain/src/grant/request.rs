//! The request of a grant, and the events that begin its timeline.

use protocol::{
    AgentId, EnforcedBy, EventKind, GrantId, IdempotencyKey, PolicyName, Provenance, Source, Timestamp,
    Trust, Ttl,
};

use super::{Grant, State, Step};
use crate::boundary::{ScopeName, TargetKind};
use crate::break_glass::{BreakGlass, BreakGlassStep};
use crate::event::NewEvent;

/// The terms of a grant.
#[derive(Debug, Clone)]
pub struct Request {
    /// The new grant's id.
    pub id: GrantId,
    /// The agent that elevates.
    pub agent_id: AgentId,
    /// Idempotency key of the client.
    pub key: IdempotencyKey,
    /// SHA-256 of the request.
    pub request_hash: String,
    /// Requested policies.
    pub policies: Vec<PolicyName>,
    /// The kind of target.
    pub target: TargetKind,
    /// The scope of the agent's boundary.
    pub scope: ScopeName,
    /// The requested duration.
    pub ttl: Ttl,
    /// As stated by the client.
    pub reason: Option<String>,
    /// Workflow, run, job and actor.
    pub provenance: Provenance,
    /// The run, as closely as the issuer signs it.
    pub run: Option<String>,
    /// How it is taken, if in an emergency.
    pub break_glass: Option<Box<BreakGlass>>,
}

impl Request {
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
            scope: self.scope,
            ttl: self.ttl,
            reason: self.reason,
            provenance: self.provenance,
            run: self.run,
            requested_at: now,
            expires_at: now.plus(self.ttl.into()),
            enforced_by,
            steps,
            approval: None,
            break_glass: self.break_glass,
            late_until: None,
            session_deny_until: None,
            state,
        }
    }
}

impl Grant {
    /// The first event of the timeline: agent, policies, and the provenance. A reader compares it with the stored event,
    /// because the event is in the hash chain and the grant's record is not.
    pub fn request_event(&self) -> NewEvent {
        let policies = self.policies.iter().map(PolicyName::as_str).collect::<Vec<_>>().join(", ");
        let text = format!("{} · {policies} · {}", self.agent_id, self.ttl);
        let provenance = &self.provenance;
        let mut event = match &self.break_glass {
            None => NewEvent::new(self.requested_at, EventKind::Elevate, text),
            Some(taken) => self.break_glass_event(taken, &text),
        };
        event = event
            .with("policies", policies)
            .with("ttl", self.ttl)
            .with("target", self.target)
            .with("trust", provenance.trust.as_str());
        if self.scope != self.target.into() {
            event = event.with("scope", &self.scope);
        }
        if let Some(reason) = &self.reason {
            event = event.with("reason", reason);
        }
        for (name, fact) in provenance.signed.iter() {
            event = event.with(&format!("signed.{name}"), fact);
        }
        for (name, fact) in provenance.claimed.iter() {
            event = event.with(&format!("claimed.{name}"), fact);
        }
        if let Some(platform) = provenance.platform {
            event = event.with("platform", platform.as_str());
        }
        if let Some(issuer) = &provenance.issuer {
            event = event.with("issuer", issuer);
        }
        if let Some(subject) = &provenance.subject {
            event = event.with("subject", subject);
        }
        event
    }

    fn break_glass_event(&self, taken: &BreakGlass, text: &str) -> NewEvent {
        let BreakGlass { by, incident, .. } = taken;
        let reason = self.reason.as_deref().unwrap_or_default();
        let text = format!("{text} · taken by {} · {incident}: {reason}", by.in_words());
        NewEvent::new(self.requested_at, EventKind::BreakGlass, text)
            .said_by(Source::Operator)
            .caused_by(Some(by.clone()))
            .with(BreakGlassStep::FIELD, BreakGlassStep::Requested.as_str())
            .with("incident", incident)
    }

    pub(super) fn danger_event(&self) -> Option<NewEvent> {
        match self.provenance.trust {
            Trust::Oidc | Trust::BreakGlass => None,
            Trust::AuthTokenOnly => Some(NewEvent::new(
                self.requested_at,
                EventKind::Danger,
                "trusted by its auth token alone · nothing signed says which run this is",
            )),
        }
    }
}
