//! What may happen to a grant, and what is written down when it does?
//!
//! A grant is moved by methods that consume it and give back the moved grant with the timeline rows of the
//! move: the store commits both in one transaction. A move that the state does not allow gives the grant back
//! unchanged in the error.

use std::time::Duration;

use protocol::{
    AgentId, EnforcedBy, EventKind, GrantId, GrantStatus, IdempotencyKey, PolicyName, Provenance, Timestamp,
    Ttl,
};
use serde::{Deserialize, Serialize};

use crate::boundary::{ScopeName, TargetKind};
use crate::event::NewEvent;

mod request;
mod state;
mod step_data;

pub use request::Request;
pub use state::{EndCause, Ending, State};
pub use step_data::StepData;

/// One elevation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Names it everywhere, and names what is made for it at the target.
    pub id: GrantId,
    /// Whose it is.
    pub agent_id: AgentId,
    /// The client's key; a retry with the same key joins this grant. A refusal keeps none.
    pub key: Option<IdempotencyKey>,
    /// SHA-256 of what was asked, in hexadecimal: the same key with another hash is a conflict.
    pub request_hash: String,
    /// What was asked for and permitted.
    pub policies: Vec<PolicyName>,
    /// The kind of target.
    pub target: TargetKind,
    /// The scope of the agent's boundary that it was checked against.
    pub scope: ScopeName,
    /// For how long it was asked.
    pub ttl: Ttl,
    /// Why, as the client says.
    pub reason: Option<String>,
    /// Where it came from.
    pub provenance: Provenance,
    /// Which run asked, as closely as its issuer signs it; none where nothing signed says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// The deadline. Nothing ever moves it.
    pub expires_at: Timestamp,
    /// Who ends it at the deadline.
    pub enforced_by: EnforcedBy,
    /// What is done at the target, in order, with all that undoing it needs. Pinned when the grant is made:
    /// a later edit of the agent does not change how this grant is undone.
    pub steps: Vec<Step>,
    /// Until when a change that was sent and not acknowledged may still arrive at the target. What is gone before
    /// is looked for again then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_until: Option<Timestamp>,
    /// Something is left that keeps its sessions dead; it can be taken away then, because they have ended by
    /// themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_deny_until: Option<Timestamp>,
    /// Where it stands.
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
    /// The object is not this grant's alone: it stays as long as any live grant has a step on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

/// A grant that was moved, and the rows that tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// As it stands now.
    pub grant: Grant,
    /// In order.
    pub events: Vec<NewEvent>,
}

impl Moved {
    /// Two moves as one: the later state, and the rows of both.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.grant = later.grant;
        self.events.extend(later.events);
        self
    }
}

/// The state does not allow the move.
#[derive(Debug, thiserror::Error)]
#[error("a grant that is {} cannot {wanted}", grant.status().as_str())]
pub struct WrongState {
    /// The grant, unchanged.
    pub grant: Box<Grant>,
    /// The move, as a verb: `become active`.
    pub wanted: &'static str,
}

/// How many characters of a refused request's claimed facts are kept.
const CLAIMED_OF_DENIED: usize = 1024;
/// After how many failed tries to take back somebody is told.
const STUCK_AFTER: u32 = 5;
/// Whoever ends a grant takes back at once, and nobody else begins the same meanwhile. As long as one call may take:
/// if it dies, somebody else takes over then.
const UNDER_WAY: Duration = Duration::from_secs(5);

impl Grant {
    /// Permitted: intents are written and the caller has the claim until `claimed_until`.
    pub fn accepted(
        request: Request,
        now: Timestamp,
        enforced_by: EnforcedBy,
        steps: Vec<Step>,
        claimed_until: Timestamp,
    ) -> Moved {
        let key = request.key.clone();
        let grant = request.into_grant(now, Some(key), enforced_by, steps, State::Applying { claimed_until });
        let mut events = vec![grant.asked()];
        events.extend(grant.trusted());
        let checked = "boundary OK · within agent permitted policies";
        events.push(
            NewEvent::new(now, EventKind::PolicyCheck, checked).with("enforced_by", enforced_by.as_str()),
        );
        Moved { grant, events }
    }

    /// Refused: nothing is given, and the refusal is on record. Of what the client claims only a bounded part is kept:
    /// the refused caller chooses it freely.
    pub fn denied(mut request: Request, now: Timestamp, code: protocol::ErrorCode, why: &str) -> Moved {
        request.provenance.claimed = request.provenance.claimed.cut_to(CLAIMED_OF_DENIED);
        let state = State::Denied { why: why.to_owned() };
        let grant = request.into_grant(now, None, EnforcedBy::Broker, Vec::new(), state);
        let mut events = vec![grant.asked()];
        events.extend(grant.trusted());
        events.push(NewEvent::new(now, EventKind::Denied, why).with("code", code.as_str()));
        Moved { grant, events }
    }

    /// More has to be done than was planned: it is written down before it is done. `why` is for the timeline.
    pub fn extend(
        mut self,
        now: Timestamp,
        more: Vec<Step>,
        enforced_by: EnforcedBy,
        why: &str,
    ) -> Result<Moved, WrongState> {
        if !matches!(self.state, State::Applying { .. }) {
            return Err(self.cannot("be extended"));
        }
        self.steps.extend(more);
        self.enforced_by = enforced_by;
        let event = NewEvent::new(now, EventKind::Target, why).with("enforced_by", enforced_by.as_str());
        Ok(Moved { grant: self, events: vec![event] })
    }

    /// Somebody else is at it from now on: whoever was before changes nothing any more.
    pub fn claimed(mut self, until: Timestamp) -> Result<Moved, WrongState> {
        let State::Applying { claimed_until } = &mut self.state else {
            return Err(self.cannot("be claimed"));
        };
        *claimed_until = until;
        Ok(Moved { grant: self, events: Vec::new() })
    }

    /// A change was sent whose answer never came: until `until` it may still arrive.
    #[must_use]
    pub fn unsure(mut self, until: Timestamp) -> Self {
        self.late_until = self.late_until.max(Some(until));
        self
    }

    /// The target did every step; `receipt` says what, in words.
    pub fn activate(mut self, now: Timestamp, receipt: &str) -> Result<Moved, WrongState> {
        if !matches!(self.state, State::Applying { .. }) || now >= self.expires_at {
            return Err(self.cannot("become active"));
        }
        self.state = State::Active { granted_at: now };
        let event = NewEvent::new(now, EventKind::Target, receipt).with("status", self.status().as_str());
        Ok(Moved { grant: self, events: vec![event] })
    }

    /// Somebody or something ends it. What never became active is undone, what is active is taken back.
    pub fn end(mut self, now: Timestamp, cause: EndCause) -> Result<Moved, WrongState> {
        let next = match &self.state {
            State::Applying { .. } => {
                State::RollingBack { cause: cause.clone(), attempts: 0, retry_at: now.plus(UNDER_WAY) }
            }
            State::Active { granted_at } => {
                let ending = Ending {
                    granted_at: *granted_at,
                    cause: cause.clone(),
                    asked_at: now,
                    attempts: 0,
                    retry_at: now.plus(UNDER_WAY),
                };
                match (&cause, self.enforced_by) {
                    (EndCause::Deadline, EnforcedBy::Cloud) => State::Expired(ending),
                    _ => State::Revoking(ending),
                }
            }
            State::Denied { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Revoking(_)
            | State::Verifying(_)
            | State::RevokeFailing(_)
            | State::Expired(_)
            | State::Revoked { .. } => return Err(self.cannot("end")),
        };
        self.state = next;
        let text = match &cause {
            EndCause::Deadline => format!("{} · {}", cause.in_words(), self.ttl),
            EndCause::Client(_)
            | EndCause::LeaseLost
            | EndCause::AgentDisabled(_)
            | EndCause::Operator(_)
            | EndCause::Abandoned
            | EndCause::TargetFailed(_) => cause.in_words(),
        };
        let mut event = NewEvent::new(now, cause.kind(), text).said_by(cause.source());
        if let Some(operator) = cause.operator() {
            event = event.with("by", operator);
        }
        if let EndCause::Client(cause) = cause {
            event = event.with("cause", cause);
        }
        Ok(Moved { grant: self, events: vec![event] })
    }

    /// The target took the undo; it is looked at again at `observe_at`.
    pub fn settle(
        mut self,
        now: Timestamp,
        observe_at: Timestamp,
        receipt: &str,
    ) -> Result<Moved, WrongState> {
        self.state = match self.state {
            State::Revoking(ending) | State::RevokeFailing(ending) | State::Expired(ending) => {
                State::Verifying(Ending { retry_at: observe_at, ..ending })
            }
            state @ (State::Denied { .. }
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Verifying(_)
            | State::Revoked { .. }) => {
                self.state = state;
                return Err(self.cannot("settle"));
            }
        };
        Ok(Moved { grant: self, events: vec![NewEvent::new(now, EventKind::Target, receipt)] })
    }

    /// Nothing is left of it at the target but what keeps its sessions dead, until `session_deny_until`; `proof` says how
    /// that is known.
    pub fn gone(
        mut self,
        now: Timestamp,
        proof: &str,
        session_deny_until: Option<Timestamp>,
    ) -> Result<Moved, WrongState> {
        let kind;
        self.state = match self.state {
            State::RollingBack { cause, .. } => {
                kind = EventKind::Failed;
                State::Failed { cause, ended_at: now }
            }
            State::Revoking(ending)
            | State::Verifying(ending)
            | State::RevokeFailing(ending)
            | State::Expired(ending) => {
                kind = EventKind::Revoked;
                let Ending { granted_at, cause, .. } = ending;
                State::Revoked { granted_at, cause, ended_at: now }
            }
            state @ (State::Denied { .. }
            | State::Applying { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Revoked { .. }) => {
                self.state = state;
                return Err(self.cannot("be gone"));
            }
        };
        self.session_deny_until = session_deny_until;
        Ok(Moved { grant: self, events: vec![NewEvent::new(now, kind, proof)] })
    }

    /// What kept its sessions dead is taken away, or will be at `again_at`.
    pub fn swept(
        mut self,
        now: Timestamp,
        again_at: Option<Timestamp>,
        text: Option<&str>,
    ) -> Result<Moved, WrongState> {
        if self.session_deny_until.is_none() || !self.status().is_final() {
            return Err(self.cannot("be swept"));
        }
        self.session_deny_until = again_at;
        let events = text.map(|text| NewEvent::new(now, EventKind::DenyRemoved, text)).into_iter().collect();
        Ok(Moved { grant: self, events })
    }

    /// Taking back failed; it is tried again at `retry_at`, for ever. A row is written for the first failure and
    /// whenever it becomes stuck, not for each try.
    pub fn undo_failed(
        mut self,
        now: Timestamp,
        error: &str,
        retry_at: Timestamp,
    ) -> Result<Moved, WrongState> {
        let is_stuck_already = matches!(self.state, State::RevokeFailing(_));
        let (state, attempts) = match self.state {
            State::RollingBack { cause, attempts, .. } => {
                (State::RollingBack { cause, attempts: attempts + 1, retry_at }, attempts + 1)
            }
            State::Revoking(ending) | State::Verifying(ending) | State::Expired(ending) => {
                let ending = Ending { attempts: ending.attempts + 1, retry_at, ..ending };
                let attempts = ending.attempts;
                let stuck = attempts >= STUCK_AFTER;
                (if stuck { State::RevokeFailing(ending) } else { State::Revoking(ending) }, attempts)
            }
            State::RevokeFailing(ending) => {
                let attempts = ending.attempts + 1;
                (State::RevokeFailing(Ending { attempts, retry_at, ..ending }), attempts)
            }
            state @ (State::Denied { .. }
            | State::Applying { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Revoked { .. }) => {
                self.state = state;
                return Err(self.cannot("fail to be taken back"));
            }
        };
        self.state = state;
        // What was stuck, went on and is still there is stuck again.
        let becomes_stuck = matches!(self.state, State::RevokeFailing(_)) && !is_stuck_already;
        let events = if attempts == STUCK_AFTER || becomes_stuck {
            let text = format!("not taken back after {attempts} tries · {error} · trying on");
            vec![NewEvent::new(now, EventKind::RevokeFailing, text)]
        } else if attempts == 1 {
            vec![NewEvent::new(now, EventKind::Target, format!("not taken back yet · {error} · trying on"))]
        } else {
            Vec::new()
        };
        Ok(Moved { grant: self, events })
    }

    /// What never became active was undone, and is undone again at `again_at`: until then a try that was under
    /// way when it ended may still change the target.
    pub fn undo_again(mut self, again_at: Timestamp) -> Result<Moved, WrongState> {
        self.state = match self.state {
            State::RollingBack { cause, attempts, .. } => {
                State::RollingBack { cause, attempts, retry_at: again_at }
            }
            state @ (State::Denied { .. }
            | State::Applying { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Revoking(_)
            | State::Verifying(_)
            | State::RevokeFailing(_)
            | State::Expired(_)
            | State::Revoked { .. }) => {
                self.state = state;
                return Err(self.cannot("be undone again"));
            }
        };
        Ok(Moved { grant: self, events: Vec::new() })
    }

    /// When something is to be done about it: the deadline, the next try, the end of the claim.
    pub fn due_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Applying { claimed_until } => Some(*claimed_until),
            State::RollingBack { retry_at, .. } => Some(*retry_at),
            State::Active { .. } => Some(self.expires_at),
            State::Revoking(ending)
            | State::Verifying(ending)
            | State::RevokeFailing(ending)
            | State::Expired(ending) => Some(ending.retry_at),
            State::Failed { .. } | State::Revoked { .. } => self.session_deny_until,
            State::Denied { .. } => None,
        }
    }

    /// Where it stands, as the protocol says it.
    pub fn status(&self) -> GrantStatus {
        match &self.state {
            State::Denied { .. } => GrantStatus::Denied,
            State::Applying { .. } => GrantStatus::Applying,
            State::RollingBack { .. } => GrantStatus::RollingBack,
            State::Failed { .. } => GrantStatus::Failed,
            State::Active { .. } => GrantStatus::Active,
            State::Revoking(_) => GrantStatus::Revoking,
            State::Verifying(_) => GrantStatus::Verifying,
            State::RevokeFailing(_) => GrantStatus::RevokeFailing,
            State::Expired(_) => GrantStatus::Expired,
            State::Revoked { .. } => GrantStatus::Revoked,
        }
    }

    /// When it became active.
    pub fn granted_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Active { granted_at } | State::Revoked { granted_at, .. } => Some(*granted_at),
            State::Revoking(ending)
            | State::Verifying(ending)
            | State::RevokeFailing(ending)
            | State::Expired(ending) => Some(ending.granted_at),
            State::Denied { .. }
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Failed { .. } => None,
        }
    }

    /// When nothing was left of it.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Revoked { ended_at, .. } | State::Failed { ended_at, .. } => Some(*ended_at),
            State::Denied { .. } => Some(self.requested_at),
            State::Applying { .. }
            | State::RollingBack { .. }
            | State::Active { .. }
            | State::Revoking(_)
            | State::Verifying(_)
            | State::RevokeFailing(_)
            | State::Expired(_) => None,
        }
    }

    /// Why it ended, ends or was refused.
    pub fn end_reason(&self) -> Option<String> {
        match &self.state {
            State::Denied { why } => Some(why.clone()),
            State::RollingBack { cause, .. } | State::Failed { cause, .. } | State::Revoked { cause, .. } => {
                Some(cause.in_words())
            }
            State::Revoking(ending)
            | State::Verifying(ending)
            | State::RevokeFailing(ending)
            | State::Expired(ending) => Some(ending.cause.in_words()),
            State::Applying { .. } | State::Active { .. } => None,
        }
    }

    fn cannot(self, wanted: &'static str) -> WrongState {
        WrongState { grant: Box::new(self), wanted }
    }
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
