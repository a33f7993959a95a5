//! Where can a grant stand, and what ends it?

use protocol::{EventKind, RevokeCause, Source, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a grant stands, with the facts of just that state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum State {
    /// Refused. Final.
    Denied {
        /// Why, in words.
        why: String,
    },
    /// Intents are written; the target is being changed by whoever holds the claim.
    Applying {
        /// Until when. After that nobody is at it any more, and it is undone.
        claimed_until: Timestamp,
    },
    /// It never became active.
    RollingBack {
        /// Why.
        cause: EndCause,
        /// How often undoing was tried.
        attempts: u32,
        /// When it is tried (again).
        retry_at: Timestamp,
    },
    /// It never became active and nothing is left. Final.
    Failed {
        /// Why.
        cause: EndCause,
        /// When nothing was left.
        ended_at: Timestamp,
    },
    /// The permission is there.
    Active {
        /// Since when.
        granted_at: Timestamp,
    },
    /// It was active, and its access is being removed.
    Ending(Ending),
    /// Gone, verified. Final.
    Revoked {
        /// Since when the permission had been there.
        granted_at: Timestamp,
        /// Why it ended.
        cause: EndCause,
        /// When nothing was left.
        ended_at: Timestamp,
    },
}

/// The way from active to gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How far it is.
    pub phase: Phase,
    /// Since when the permission had been there.
    pub granted_at: Timestamp,
    /// Why it ends.
    pub cause: EndCause,
    /// When it began to end.
    pub asked_at: Timestamp,
    /// How often taking back was tried.
    pub attempts: u32,
    /// When it is tried (again).
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
    /// The client gave it back.
    Client(RevokeCause),
    /// The deadline came.
    Deadline,
    /// The holder fell silent.
    LeaseLost,
    /// The agent was switched off.
    AgentDisabled,
    /// An operator ended it.
    Operator,
    /// The broker stopped, or lost the claim, before it became active.
    Abandoned,
    /// The target refused or failed.
    TargetFailed(String),
}

impl EndCause {
    /// For the timeline.
    pub fn in_words(&self) -> String {
        match self {
            Self::Client(cause) => cause.in_words(),
            Self::Deadline => "deadline reached".to_owned(),
            Self::LeaseLost => "holder fell silent".to_owned(),
            Self::AgentDisabled => "agent disabled".to_owned(),
            Self::Operator => "ended by an operator".to_owned(),
            Self::Abandoned => "never acknowledged · undone".to_owned(),
            Self::TargetFailed(why) => format!("target failed · {why}"),
        }
    }

    /// Who says so on the timeline.
    pub fn source(&self) -> Source {
        match self {
            Self::Client(_) => Source::Client,
            Self::AgentDisabled | Self::Operator => Source::Operator,
            Self::Deadline | Self::LeaseLost | Self::Abandoned | Self::TargetFailed(_) => Source::Broker,
        }
    }

    /// The kind of the row that tells of it.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Deadline => EventKind::Expire,
            Self::LeaseLost => EventKind::LeaseLost,
            Self::Abandoned | Self::TargetFailed(_) => EventKind::RollBack,
            Self::Client(_) | Self::AgentDisabled | Self::Operator => EventKind::Revoke,
        }
    }
}
