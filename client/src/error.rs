//! The error of every call of the library.

use std::time::Duration;

use protocol::{GrantId, GrantStatus, Problem};

use crate::identity::IdentityError;

/// Why a call failed. `Display` is the detail, [`Error::code`] the name for programs, [`Error::hint`] the advice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings or the environment are wrong: a retry does not help.
    #[error("{what}")]
    Settings {
        /// Which setting is wrong, and why.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The workload's identity cannot be presented.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The broker answered with a problem document.
    #[error("{}: {}", .0.title, .0.detail)]
    Problem(Box<Problem>),
    /// No broker answered before the deadline.
    #[error("the broker at `{url}` cannot be reached: {why}")]
    Unreachable {
        /// The broker's address.
        url: String,
        /// The last failure.
        why: String,
        /// What to do.
        hint: Option<String>,
    },
    /// No approver approved the grant in time.
    #[error("approval of `{id}` was not given within {}", in_words(*.waited))]
    NotApproved {
        /// The grant.
        id: GrantId,
        /// How long the client waited.
        waited: Duration,
    },
    /// The grant reached another state than active.
    #[error("`{id}` did not become active: it is `{}`{}", .status.as_str(), because(.reason.as_ref()))]
    NotActive {
        /// The grant.
        id: GrantId,
        /// The state that it reached.
        status: GrantStatus,
        /// The broker's reason.
        reason: Option<String>,
    },
    /// A file, a pipe, or a defect of the client or the broker.
    #[error("{what}")]
    Unexpected {
        /// What happened.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
}

fn because(reason: Option<&String>) -> String {
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}

/// In the largest unit that is exact: `15m`, not `900s`.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        secs if secs > 0 && secs % 3600 == 0 => format!("{}h", secs / 3600),
        secs if secs > 0 && secs % 60 == 0 => format!("{}m", secs / 60),
        secs => format!("{secs}s"),
    }
}

impl Error {
    pub(crate) fn settings(what: impl Into<String>) -> Self {
        Self::Settings { what: what.into(), hint: None }
    }

    pub(crate) fn unexpected(what: impl Into<String>) -> Self {
        Self::Unexpected { what: what.into(), hint: None }
    }

    /// Replaces the hint, where the error has room for one.
    #[must_use]
    pub(crate) fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Settings { hint, .. } | Self::Unreachable { hint, .. } | Self::Unexpected { hint, .. } => {
                *hint = Some(text.into());
            }
            Self::Identity(_) | Self::Problem(_) | Self::NotApproved { .. } | Self::NotActive { .. } => {}
        }
        self
    }

    /// The stable name of the error: the broker's own code for a [`Problem`].
    pub fn code(&self) -> &str {
        match self {
            Self::Settings { .. } => "settings_invalid",
            Self::Identity(error) => error.code(),
            Self::Problem(problem) => &problem.code,
            Self::Unreachable { .. } => "broker_unreachable",
            Self::NotApproved { .. } => "approval_timed_out",
            Self::NotActive { .. } => "grant_not_active",
            Self::Unexpected { .. } => "unexpected",
        }
    }

    /// What to do about the error.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Settings { hint, .. } | Self::Unreachable { hint, .. } | Self::Unexpected { hint, .. } => {
                hint.as_deref()
            }
            Self::Identity(error) => error.hint(),
            Self::Problem(problem) => problem.hint.as_deref(),
            Self::NotApproved { .. } => Some("ask an approver, or wait longer"),
            Self::NotActive { .. } => None,
        }
    }

    /// Whether the broker may have a grant for an elevation that was sent and ended in this error: every error but a
    /// refusal.
    pub fn may_have_granted(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status >= 500 || matches!(problem.status, 408 | 425),
            Self::Unreachable { .. }
            | Self::NotApproved { .. }
            | Self::NotActive { .. }
            | Self::Identity(_)
            | Self::Unexpected { .. } => true,
            Self::Settings { .. } => false,
        }
    }
}
