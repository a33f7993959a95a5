//! What went wrong, and with which code do we exit? One match from error to code.

use protocol::{ErrorCode, GrantId, GrantStatus, Problem};

use crate::exit::Exit;
use crate::identity::{IdentityError, IdentityFault};

/// Every way in which a command fails. `Display` says what happened, [`CliError::hint`] what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line or the environment asks for something that cannot be.
    #[error("{what}")]
    Usage { what: String, hint: Option<String> },
    /// The workload's own identity could not be had.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The broker answered with a problem document.
    #[error("{}: {}", .0.title, .0.detail)]
    Problem(Box<Problem>),
    /// Nobody answered before the deadline, or what answered was not a broker.
    #[error("the broker at `{url}` cannot be reached: {why}")]
    Unreachable { url: String, why: String, hint: Option<String> },
    /// Nobody said yes in time.
    #[error("approval of `{id}` was not given within {waited}")]
    NotApproved { id: GrantId, waited: protocol::Ttl },
    /// The grant became something else than active.
    #[error("`{id}` did not become active: it is `{}`{}", .status.as_str(), because(.reason.as_ref()))]
    NotActive { id: GrantId, status: GrantStatus, reason: Option<String> },
    /// We asked for the revoke and do not know that the grant is gone.
    #[error("the revoke is not confirmed: {why}")]
    RevokeNotConfirmed { why: String },
    /// Ctrl-C or a request to stop.
    #[error("interrupted")]
    Interrupted,
    /// `doctor` found something to fix.
    #[error("{failed} of {checks} checks failed")]
    DoctorFailed { failed: usize, checks: usize },
    /// A file, a pipe, a fault of ours.
    #[error("{what}")]
    Unexpected { what: String, hint: Option<String> },
}

fn because(reason: Option<&String>) -> String {
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}

impl CliError {
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: None }
    }

    pub(crate) fn unexpected(what: impl Into<String>) -> Self {
        Self::Unexpected { what: what.into(), hint: None }
    }

    /// With what to do about it, where the error itself cannot know.
    #[must_use]
    pub(crate) fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage { hint, .. } | Self::Unreachable { hint, .. } | Self::Unexpected { hint, .. } => {
                *hint = Some(text.into());
            }
            Self::Identity(_)
            | Self::Problem(_)
            | Self::NotApproved { .. }
            | Self::NotActive { .. }
            | Self::RevokeNotConfirmed { .. }
            | Self::Interrupted
            | Self::DoctorFailed { .. } => {}
        }
        self
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Identity(error) => match error.fault() {
                IdentityFault::Usage => Exit::Usage,
                IdentityFault::Unauthenticated => Exit::Unauthenticated,
            },
            Self::Problem(problem) => exit_for(problem),
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::NotApproved { .. } => Exit::NotApproved,
            Self::NotActive { status: GrantStatus::Denied, .. } => Exit::Denied,
            Self::NotActive { .. } | Self::DoctorFailed { .. } | Self::Unexpected { .. } => Exit::Unexpected,
            Self::RevokeNotConfirmed { .. } => Exit::RevokeNotConfirmed,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } | Self::Unreachable { hint, .. } | Self::Unexpected { hint, .. } => {
                hint.as_deref()
            }
            Self::Identity(error) => error.hint(),
            Self::Problem(problem) => problem.hint.as_deref(),
            Self::NotApproved { .. } => Some("ask an approver, or wait longer with `--wait`"),
            Self::RevokeNotConfirmed { .. } => Some(
                "run the same revoke again; if nothing reaches the broker it takes the grant back at its deadline",
            ),
            Self::NotActive { .. } | Self::Interrupted | Self::DoctorFailed { .. } => None,
        }
    }

    /// Whether the broker may hold a grant for a request that ended in this error: everything but a plain no.
    pub(crate) fn may_have_granted(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status >= 500 || matches!(problem.status, 408 | 425),
            Self::Unreachable { .. }
            | Self::NotApproved { .. }
            | Self::NotActive { .. }
            | Self::Interrupted
            | Self::Identity(_)
            | Self::Unexpected { .. } => true,
            Self::Usage { .. } | Self::RevokeNotConfirmed { .. } | Self::DoctorFailed { .. } => false,
        }
    }
}

fn exit_for(problem: &Problem) -> Exit {
    match problem.known_code() {
        Some(code) => exit_for_code(code),
        // A newer broker's code: its status still says what kind of answer it is.
        None => match problem.status {
            401 => Exit::Unauthenticated,
            403 => Exit::Denied,
            408 | 425 | 429 | 500..=599 => Exit::Unreachable,
            400..=499 => Exit::Usage,
            _ => Exit::Unexpected,
        },
    }
}

fn exit_for_code(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::AuthTokenMissing
        | ErrorCode::AuthTokenInvalid
        | ErrorCode::AgentMismatch
        | ErrorCode::OidcTokenMissing
        | ErrorCode::OidcTokenInvalid
        | ErrorCode::OidcTokenReplayed
        | ErrorCode::IssuerNotTrusted => Exit::Unauthenticated,
        ErrorCode::ClaimsNotTrusted
        | ErrorCode::ForkRefused
        | ErrorCode::SshRerunRefused
        | ErrorCode::EventRefused
        | ErrorCode::HeartbeatRequired
        | ErrorCode::TooManyActiveGrants
        | ErrorCode::AgentDisabled
        | ErrorCode::PolicyNotPermitted
        | ErrorCode::TtlTooLong
        | ErrorCode::TargetNotPermitted => Exit::Denied,
        ErrorCode::GrantNotFound
        | ErrorCode::AgentNotFound
        | ErrorCode::TokenNotFound
        | ErrorCode::RouteNotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::AgentExists
        | ErrorCode::BodyTooLarge
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::InvalidRequest
        | ErrorCode::InvalidRegistration => Exit::Usage,
        ErrorCode::IdempotencyConflict | ErrorCode::GrantEnded => Exit::Unexpected,
        ErrorCode::RequestTimeout
        | ErrorCode::ProcessingTimeout
        | ErrorCode::RateLimited
        | ErrorCode::Internal
        | ErrorCode::TargetFailed
        | ErrorCode::IssuerUnavailable
        | ErrorCode::StoreUnavailable => Exit::Unreachable,
    }
}
