//! A grant and its transitions.
//!
//! A transition is a method that consumes the grant and returns it in its next state, with the events for the timeline:
//! the store commits both in one transaction. A transition that the state does not allow returns the grant unchanged in
//! the error.

use std::time::Duration;

use protocol::{
    AgentId, EnforcedBy, EventKind, GrantId, IdempotencyKey, PolicyName, Provenance, Timestamp, Ttl,
};
use serde::{Deserialize, Serialize};

use crate::approval::Approval;
use crate::boundary::{ScopeName, TargetKind};
use crate::break_glass::BreakGlass;
use crate::event::NewEvent;

mod derived;
mod request;
mod review;
mod state;
mod step_data;
mod transition;
mod waiting;

pub use request::Request;
pub use state::{EndCause, Ending, Phase, State};
pub use step_data::StepData;
pub use transition::{Transition, WrongState};
pub use waiting::{ApprovalStep, Waiting};

/// One elevation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Part of the name of every object that is provisioned for it.
    pub id: GrantId,
    /// The agent that elevated.
    pub agent_id: AgentId,
    /// Idempotency key of the client. A denied request has none.
    pub key: Option<IdempotencyKey>,
    /// SHA-256 of the request, in hexadecimal. The same key with another hash is a conflict.
    pub request_hash: String,
    /// The requested and permitted policies.
    pub policies: Vec<PolicyName>,
    /// The kind of target.
    pub target: TargetKind,
    /// The scope of the agent's boundary that it was checked against.
    pub scope: ScopeName,
    /// The requested duration.
    pub ttl: Ttl,
    /// The reason, as the client states it.
    pub reason: Option<String>,
    /// Workflow, run, job and actor that it comes from.
    pub provenance: Provenance,
    /// The run, as closely as the issuer signs it; none if no signed claim names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When the request arrived.
    pub requested_at: Timestamp,
    /// The deadline. Nothing extends it.
    pub expires_at: Timestamp,
    /// Who ends the access at the deadline.
    pub enforced_by: EnforcedBy,
    /// Changes at the target, in order, with everything that reverting them needs. Pinned when the grant is created: a
    /// later registration of the agent does not change how this grant is reverted.
    pub steps: Vec<Step>,
    /// The approval of persons, if a rule asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// How it was taken, if in an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<Box<BreakGlass>>,
    /// Until when a late write is possible. An object that is gone before is observed again then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_until: Option<Timestamp>,
    /// When its session-deny policies can be removed, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_deny_until: Option<Timestamp>,
    /// Its state, with the facts of that state.
    pub state: State,
}

/// One change at the target, committed before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Names the change in the timeline and in metrics: `issue-token`.
    pub action: String,
    /// The object that changes. Derived from the grant's id, so that applying and reverting it again needs no stored ids.
    pub object: String,
    /// Everything else that applying and reverting needs; only the target reads it.
    #[serde(default, skip_serializing_if = "StepData::is_empty")]
    pub data: StepData,
    /// Several grants may share the object: it is removed with the last reference.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

/// Characters of the claimed facts that a denied request keeps.
const CLAIMED_OF_DENIED: usize = 1024;
/// Failed tries to revert before a grant is `revoke_failing`.
const FAILING_AFTER: u32 = 5;
/// A driver that ends a grant reverts it at once. If it dies, another driver takes over after this: as long as one call
/// may take.
const FIRST_REVERT_WITHIN: Duration = Duration::from_secs(5);

impl Grant {
    /// Creates a permitted grant. The caller has the claim until `claimed_until`.
    pub fn accepted(
        request: Request,
        now: Timestamp,
        enforced_by: EnforcedBy,
        steps: Vec<Step>,
        claimed_until: Timestamp,
    ) -> Transition {
        let key = request.key.clone();
        let grant = request.into_grant(now, Some(key), enforced_by, steps, State::Applying { claimed_until });
        let mut events = vec![grant.request_event()];
        events.extend(grant.danger_event());
        let checked = match &grant.break_glass {
            None => "boundary OK · within agent permitted policies",
            Some(_) => "boundary OK · neither rules nor persons were asked",
        };
        events.push(
            NewEvent::new(now, EventKind::PolicyCheck, checked).with("enforced_by", enforced_by.as_str()),
        );
        Transition { grant, events }
    }

    /// Records a denied request. Only a bounded part of the claimed facts is kept, because the caller chooses them.
    pub fn denied(mut request: Request, now: Timestamp, code: protocol::ErrorCode, why: &str) -> Transition {
        request.provenance.claimed = request.provenance.claimed.cut_to(CLAIMED_OF_DENIED);
        let state = State::Denied { why: why.to_owned(), ended_at: now };
        let grant = request.into_grant(now, None, EnforcedBy::Broker, Vec::new(), state);
        let mut events = vec![grant.request_event()];
        events.extend(grant.danger_event());
        events.push(NewEvent::new(now, EventKind::Denied, why).with("code", code.as_str()));
        Transition { grant, events }
    }

    /// Adds the steps of a fallback plan. `why` is for the timeline.
    pub fn extend(
        mut self,
        now: Timestamp,
        more: Vec<Step>,
        enforced_by: EnforcedBy,
        why: &str,
    ) -> Result<Transition, WrongState> {
        if !matches!(self.state, State::Applying { .. }) {
            return Err(self.cannot("be extended"));
        }
        self.steps.extend(more);
        self.enforced_by = enforced_by;
        let event = NewEvent::new(now, EventKind::Target, why).with("enforced_by", enforced_by.as_str());
        Ok(Transition { grant: self, events: vec![event] })
    }

    /// Transfers the claim; saves by the previous driver will conflict.
    pub fn claim(mut self, until: Timestamp) -> Result<Transition, WrongState> {
        let State::Applying { claimed_until } = &mut self.state else {
            return Err(self.cannot("be claimed"));
        };
        *claimed_until = until;
        Ok(Transition { grant: self, events: Vec::new() })
    }

    /// A call may still be applied until `until`.
    #[must_use]
    pub fn mark_late_write_possible(mut self, until: Timestamp) -> Self {
        self.late_until = self.late_until.max(Some(until));
        self
    }

    /// Every step is applied; `receipt` is for the timeline.
    pub fn activate(mut self, now: Timestamp, receipt: &str) -> Result<Transition, WrongState> {
        if !matches!(self.state, State::Applying { .. }) || now >= self.expires_at {
            return Err(self.cannot("become active"));
        }
        self.state = State::Active { granted_at: now };
        let event = NewEvent::new(now, EventKind::Target, receipt).with("status", self.status().as_str());
        Ok(Transition { grant: self, events: vec![event] })
    }

    /// Ends the grant: one that never became active is rolled back, an active one is revoked.
    pub fn end(mut self, now: Timestamp, cause: EndCause) -> Result<Transition, WrongState> {
        let next = match &self.state {
            State::Applying { .. } => State::RollingBack {
                cause: cause.clone(),
                attempts: 0,
                retry_at: now.plus(FIRST_REVERT_WITHIN),
            },
            State::Active { granted_at } => {
                let phase = match (&cause, self.enforced_by) {
                    (EndCause::Deadline, EnforcedBy::Cloud) => Phase::Expired,
                    (EndCause::Deadline, EnforcedBy::Broker)
                    | (
                        EndCause::Client(_)
                        | EndCause::LeaseLost
                        | EndCause::AgentDisabled(_)
                        | EndCause::ContextChanged(_)
                        | EndCause::EndedBy(..)
                        | EndCause::DeniedBy(..)
                        | EndCause::NotApproved
                        | EndCause::NotCollected
                        | EndCause::Abandoned
                        | EndCause::TargetFailed(_),
                        EnforcedBy::Cloud | EnforcedBy::Broker,
                    ) => Phase::Revoking,
                };
                State::Ending(Ending {
                    phase,
                    granted_at: *granted_at,
                    cause: cause.clone(),
                    asked_at: now,
                    attempts: 0,
                    retry_at: now.plus(FIRST_REVERT_WITHIN),
                })
            }
            // Nothing was provisioned.
            State::Waiting(_) => State::Denied { why: cause.in_words(), ended_at: now },
            State::Denied { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Ending(_)
            | State::Revoked { .. } => return Err(self.cannot("end")),
        };
        let denied = matches!(next, State::Denied { .. });
        self.state = next;
        let text = match &cause {
            EndCause::Deadline => format!("{} · {}", cause.in_words(), self.ttl),
            EndCause::Client(_)
            | EndCause::LeaseLost
            | EndCause::AgentDisabled(_)
            | EndCause::ContextChanged(_)
            | EndCause::EndedBy(..)
            | EndCause::DeniedBy(..)
            | EndCause::NotApproved
            | EndCause::NotCollected
            | EndCause::Abandoned
            | EndCause::TargetFailed(_) => cause.in_words(),
        };
        let kind = if denied { EventKind::Denied } else { cause.kind() };
        let mut event = NewEvent::new(now, kind, text).said_by(cause.source()).caused_by(cause.by().cloned());
        match cause {
            EndCause::Client(cause) => event = event.with("cause", cause),
            EndCause::ContextChanged(_) => event = event.with("cause", "context_changed"),
            EndCause::Deadline
            | EndCause::LeaseLost
            | EndCause::AgentDisabled(_)
            | EndCause::EndedBy(..)
            | EndCause::DeniedBy(..)
            | EndCause::NotApproved
            | EndCause::NotCollected
            | EndCause::Abandoned
            | EndCause::TargetFailed(_) => {}
        }
        Ok(Transition { grant: self, events: vec![event] })
    }

    /// The target accepted every revert; the objects are observed at `observe_at`.
    pub fn verify(
        mut self,
        now: Timestamp,
        observe_at: Timestamp,
        receipt: &str,
    ) -> Result<Transition, WrongState> {
        self.state = match self.state {
            State::Ending(
                ending @ Ending { phase: Phase::Revoking | Phase::RevokeFailing | Phase::Expired, .. },
            ) => State::Ending(Ending { phase: Phase::Verifying, retry_at: observe_at, ..ending }),
            state @ (State::Denied { .. }
            | State::Waiting(_)
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Ending(Ending { phase: Phase::Verifying, .. })
            | State::Revoked { .. }) => {
                self.state = state;
                return Err(self.cannot("be verified"));
            }
        };
        Ok(Transition { grant: self, events: vec![NewEvent::new(now, EventKind::Target, receipt)] })
    }

    /// Nothing is left at the target but session-deny policies until `session_deny_until`; `proof` states the evidence.
    pub fn gone(
        mut self,
        now: Timestamp,
        proof: &str,
        session_deny_until: Option<Timestamp>,
    ) -> Result<Transition, WrongState> {
        let kind;
        self.state = match self.state {
            State::RollingBack { cause, .. } => {
                kind = EventKind::Failed;
                State::Failed { cause, ended_at: now }
            }
            State::Ending(Ending { granted_at, cause, .. }) => {
                kind = EventKind::Revoked;
                State::Revoked { granted_at, cause, ended_at: now }
            }
            state @ (State::Denied { .. }
            | State::Waiting(_)
            | State::Applying { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Revoked { .. }) => {
                self.state = state;
                return Err(self.cannot("be gone"));
            }
        };
        self.session_deny_until = session_deny_until;
        Ok(Transition { grant: self, events: vec![NewEvent::new(now, kind, proof)] })
    }

    /// The session-deny policies are removed, or the next try is at `again_at`.
    pub fn session_deny_removed(
        mut self,
        now: Timestamp,
        again_at: Option<Timestamp>,
        text: Option<&str>,
    ) -> Result<Transition, WrongState> {
        if self.session_deny_until.is_none() || !self.status().is_final() {
            return Err(self.cannot("lose its session-deny policy"));
        }
        self.session_deny_until = again_at;
        let events = text.map(|text| NewEvent::new(now, EventKind::DenyRemoved, text)).into_iter().collect();
        Ok(Transition { grant: self, events })
    }

    /// A try to revert failed; the next is at `retry_at`, for ever. The first failure is an event, and so is each change to
    /// `revoke_failing`; other tries are not.
    pub fn revert_failed(
        mut self,
        now: Timestamp,
        error: &str,
        retry_at: Timestamp,
    ) -> Result<Transition, WrongState> {
        let was_failing = self.is_revoke_failing();
        let (state, attempts) = match self.state {
            State::RollingBack { cause, attempts, .. } => {
                (State::RollingBack { cause, attempts: attempts + 1, retry_at }, attempts + 1)
            }
            State::Ending(ending) => {
                let attempts = ending.attempts + 1;
                let phase = match ending.phase {
                    Phase::RevokeFailing => Phase::RevokeFailing,
                    Phase::Revoking | Phase::Verifying | Phase::Expired if attempts >= FAILING_AFTER => {
                        Phase::RevokeFailing
                    }
                    Phase::Revoking | Phase::Verifying | Phase::Expired => Phase::Revoking,
                };
                (State::Ending(Ending { phase, attempts, retry_at, ..ending }), attempts)
            }
            state @ (State::Denied { .. }
            | State::Waiting(_)
            | State::Applying { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Revoked { .. }) => {
                self.state = state;
                return Err(self.cannot("fail to be reverted"));
            }
        };
        self.state = state;
        // Also if it was failing before, was verified, and its objects are still there.
        let starts_failing = self.is_revoke_failing() && !was_failing;
        let events = if attempts == FAILING_AFTER || starts_failing {
            let text = format!("not reverted after {attempts} tries · {error} · retrying");
            vec![NewEvent::new(now, EventKind::RevokeFailing, text)]
        } else if attempts == 1 {
            vec![NewEvent::new(now, EventKind::Target, format!("not reverted yet · {error} · retrying"))]
        } else {
            Vec::new()
        };
        Ok(Transition { grant: self, events })
    }

    /// A grant that never became active is reverted again at `again_at`: until then a late write is possible.
    pub fn revert_again(mut self, again_at: Timestamp) -> Result<Transition, WrongState> {
        self.state = match self.state {
            State::RollingBack { cause, attempts, .. } => {
                State::RollingBack { cause, attempts, retry_at: again_at }
            }
            state @ (State::Denied { .. }
            | State::Waiting(_)
            | State::Applying { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Ending(_)
            | State::Revoked { .. }) => {
                self.state = state;
                return Err(self.cannot("be reverted again"));
            }
        };
        Ok(Transition { grant: self, events: Vec::new() })
    }

    fn cannot(self, wanted: &'static str) -> WrongState {
        WrongState { grant: Box::new(self), wanted }
    }
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
