//! States of a grant, and the causes of its end.

use protocol::{Actor, EventKind, RevokeCause, Source, Timestamp};
use serde::{Deserialize, Serialize};

use super::waiting::Waiting;

/// The state of a grant, with the facts of that state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum State {
    /// The boundary, a rule or a person denied the request. Final.
    Denied {
        /// For the caller.
        why: String,
        /// When it was denied.
        ended_at: Timestamp,
    },
    /// It waits for the approval of persons, or for its client to collect it.
    Waiting(Waiting),
    /// The steps are written; the driver that has the claim applies them.
    Applying {
        /// The end of the claim. The worker rolls the grant back then.
        claimed_until: Timestamp,
    },
    /// It never became active, and its steps are being reverted.
    RollingBack {
        /// Why it ends.
        cause: EndCause,
        /// Failed tries to revert.
        attempts: u32,
        /// The next try.
        retry_at: Timestamp,
    },
    /// It never became active and nothing is left. Final.
    Failed {
        /// Why it ended.
        cause: EndCause,
        /// When nothing was left.
        ended_at: Timestamp,
    },
    /// The access exists.
    Active {
        /// Since when.
        granted_at: Timestamp,
    },
    /// It was active, and its access is being removed.
    Ending(Ending),
    /// It was active, and nothing is left. Final.
    Revoked {
        /// When it became active.
        granted_at: Timestamp,
        /// Why it ended.
        cause: EndCause,
        /// When nothing was left.
        ended_at: Timestamp,
    },
}

/// A grant between active and revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How far the removal is.
    pub phase: Phase,
    /// When it became active.
    pub granted_at: Timestamp,
    /// Why it ends.
    pub cause: EndCause,
    /// When it began to end.
    pub asked_at: Timestamp,
    /// Failed tries to revert.
    pub attempts: u32,
    /// The next try, or the observation.
    pub retry_at: Timestamp,
}

/// How far the removal of a grant's access is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The steps are being reverted.
    Revoking,
    /// The target accepted every revert; the objects are observed at `retry_at`.
    Verifying,
    /// Reverting failed repeatedly. The driver retries for ever, and the timeline says so.
    RevokeFailing,
    /// The target itself ended the access at the deadline; the objects that remain are being removed.
    Expired,
}

/// Why a grant ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// The client revoked it.
    Client(RevokeCause),
    /// The deadline came.
    Deadline,
    /// The client sent no heartbeat within its lease.
    LeaseLost,
    /// This operator or person disabled the agent; none if the worker finds grants of a disabled agent.
    AgentDisabled(Option<Actor>),
    /// This operator or person revoked it, perhaps with a reason.
    EndedBy(Actor, Option<String>),
    /// This person denied the request, perhaps with a reason.
    DeniedBy(Actor, Option<String>),
    /// The votes did not come in time.
    NotApproved,
    /// It was approved, and its client did not collect it in time.
    NotCollected,
    /// The claim ended before the grant was active: its request died.
    Abandoned,
    /// The grant was decided again, and refused: by these rules, or by the boundary if there are none.
    ContextChanged(Vec<String>),
    /// The target refused or failed.
    TargetFailed(String),
}

impl EndCause {
    /// For the timeline.
    pub fn in_words(&self) -> String {
        match self {
            Self::Client(cause) => cause.in_words(),
            Self::Deadline => "deadline reached".to_owned(),
            Self::LeaseLost => "no heartbeat within the lease".to_owned(),
            Self::AgentDisabled(None) => "agent disabled".to_owned(),
            Self::AgentDisabled(Some(by)) => format!("agent disabled by {}", by.in_words()),
            Self::EndedBy(by, None) => format!("ended by {}", by.in_words()),
            Self::EndedBy(by, Some(because)) => format!("ended by {}: {because}", by.in_words()),
            Self::DeniedBy(by, None) => format!("denied by {}", by.in_words()),
            Self::DeniedBy(by, Some(because)) => format!("denied by {}: {because}", by.in_words()),
            Self::NotApproved => "not approved in time".to_owned(),
            Self::NotCollected => "approved, and not collected in time".to_owned(),
            Self::Abandoned => "never acknowledged · rolled back".to_owned(),
            Self::ContextChanged(rules) if rules.is_empty() => {
                "context changed · nothing permits the grant any more".to_owned()
            }
            Self::ContextChanged(rules) => format!("context changed · refused by {}", rules.join(", ")),
            Self::TargetFailed(why) => format!("target failed · {why}"),
        }
    }

    /// Who ended the grant.
    pub fn by(&self) -> Option<&Actor> {
        match self {
            Self::EndedBy(by, _) | Self::DeniedBy(by, _) => Some(by),
            Self::AgentDisabled(by) => by.as_ref(),
            Self::Client(_)
            | Self::Deadline
            | Self::LeaseLost
            | Self::NotApproved
            | Self::NotCollected
            | Self::Abandoned
            | Self::ContextChanged(_)
            | Self::TargetFailed(_) => None,
        }
    }

    /// The source of the event on the timeline.
    pub fn source(&self) -> Source {
        match self {
            Self::Client(_) => Source::Client,
            Self::AgentDisabled(_) | Self::EndedBy(..) | Self::DeniedBy(..) => Source::Operator,
            Self::Deadline
            | Self::LeaseLost
            | Self::NotApproved
            | Self::NotCollected
            | Self::Abandoned
            | Self::ContextChanged(_)
            | Self::TargetFailed(_) => Source::Broker,
        }
    }

    /// The kind of the event on the timeline.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Deadline => EventKind::Expire,
            Self::DeniedBy(..) | Self::NotApproved | Self::NotCollected => EventKind::Denied,
            Self::LeaseLost => EventKind::LeaseLost,
            Self::Abandoned | Self::TargetFailed(_) => EventKind::RollBack,
            Self::Client(_) | Self::AgentDisabled(_) | Self::EndedBy(..) | Self::ContextChanged(_) => {
                EventKind::Revoke
            }
        }
    }
}
