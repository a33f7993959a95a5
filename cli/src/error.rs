//! The errors of the commands, and the one match from error to exit code.

use jit_client::Error;
use jit_client::identity::{IdentityError, IdentityFault};
use protocol::{ErrorCode, GrantStatus, Problem};

use crate::args::FailOn;
use crate::exit::Exit;

/// Every way in which a command fails. `Display` says what happened, [`CliError::hint`] what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line or the environment is wrong.
    #[error("{what}")]
    Usage { what: String, hint: Option<String> },
    /// A call of the client library failed.
    #[error(transparent)]
    Client(#[from] Error),
    /// The broker has not confirmed that the grant is gone.
    #[error("the revoke is not confirmed: {why}")]
    RevokeNotConfirmed { why: String },
    /// Ctrl-C or a request to stop.
    #[error("interrupted")]
    Interrupted,
    /// `doctor` found something to fix.
    #[error("{failed} of {checks} checks failed")]
    DoctorFailed { failed: usize, checks: usize },
    /// `agent check` found no trust rule that accepts the token or the grant.
    #[error("none of the {rules} trust rules accepts it")]
    TrustRefused { rules: usize },
    /// `rules replay --fail-on` found decisions that differ.
    #[error("{differ} of {decisions} decisions {}", match .fail_on {
        FailOn::Any => "would differ",
        FailOn::Wider => "would allow more",
    })]
    RulesDiffer { differ: u64, decisions: u64, fail_on: FailOn },
    /// A file, a pipe, or a defect of the program.
    #[error("{what}")]
    Unexpected { what: String, hint: Option<String> },
}

impl From<IdentityError> for CliError {
    fn from(error: IdentityError) -> Self {
        Self::Client(error.into())
    }
}

impl CliError {
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: None }
    }

    pub(crate) fn unexpected(what: impl Into<String>) -> Self {
        Self::Unexpected { what: what.into(), hint: None }
    }

    /// Adds a hint.
    #[must_use]
    pub(crate) fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage { hint, .. } | Self::Unexpected { hint, .. } => {
                *hint = Some(text.into());
            }
            Self::Client(_)
            | Self::RevokeNotConfirmed { .. }
            | Self::Interrupted
            | Self::DoctorFailed { .. }
            | Self::TrustRefused { .. }
            | Self::RulesDiffer { .. } => {}
        }
        self
    }

    /// The exit code of `run`, which exits with its command's code: every failure before the command runs has a code of
    /// its own. A script can tell that a person is to be asked again.
    pub(crate) fn exit_of_run(&self) -> Exit {
        if self.exit() == Exit::NotApproved { Exit::NotApproved } else { Exit::NotStarted }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Client(error) => exit_for_client(error),
            Self::DoctorFailed { .. } | Self::TrustRefused { .. } | Self::Unexpected { .. } => {
                Exit::Unexpected
            }
            Self::RevokeNotConfirmed { .. } => Exit::RevokeNotConfirmed,
            Self::RulesDiffer { .. } => Exit::RulesDiffer,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } | Self::Unexpected { hint, .. } => hint.as_deref(),
            Self::Client(Error::NotApproved { .. }) => Some("ask an approver, or wait longer with `--wait`"),
            Self::Client(error) => error.hint(),
            Self::RevokeNotConfirmed { .. } => Some(
                "run the same revoke again; if nothing reaches the broker it ends the grant at its deadline",
            ),
            Self::Interrupted
            | Self::DoctorFailed { .. }
            | Self::TrustRefused { .. }
            | Self::RulesDiffer { .. } => None,
        }
    }

    /// The broker's problem document, if the broker refused.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Client(Error::Problem(problem)) => Some(problem),
            Self::Client(_)
            | Self::Usage { .. }
            | Self::RevokeNotConfirmed { .. }
            | Self::Interrupted
            | Self::DoctorFailed { .. }
            | Self::TrustRefused { .. }
            | Self::RulesDiffer { .. }
            | Self::Unexpected { .. } => None,
        }
    }

    /// Whether the broker may have a grant for an elevation that was sent and ended in this error: every error but a
    /// refusal.
    pub(crate) fn may_have_granted(&self) -> bool {
        match self {
            Self::Client(error) => error.may_have_granted(),
            Self::Interrupted | Self::Unexpected { .. } => true,
            Self::Usage { .. }
            | Self::RevokeNotConfirmed { .. }
            | Self::DoctorFailed { .. }
            | Self::TrustRefused { .. }
            | Self::RulesDiffer { .. } => false,
        }
    }
}

fn exit_for_client(error: &Error) -> Exit {
    match error {
        Error::Settings { .. } => Exit::Usage,
        Error::Identity(error) => match error.fault() {
            IdentityFault::Usage => Exit::Usage,
            IdentityFault::Unauthenticated => Exit::Unauthenticated,
        },
        Error::Problem(problem) => exit_for(problem),
        Error::Unreachable { .. } => Exit::Unreachable,
        Error::NotApproved { .. } => Exit::NotApproved,
        // Persons denied it, or the wait was over.
        Error::NotActive { status: GrantStatus::Denied, .. } => Exit::NotApproved,
        Error::NotActive { .. } | Error::Unexpected { .. } => Exit::Unexpected,
    }
}

fn exit_for(problem: &Problem) -> Exit {
    match problem.known_code() {
        Some(code) => exit_for_code(code),
        // The code of a newer broker: the status still says what kind of answer it is.
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
        | ErrorCode::BreakGlassCodeRefused
        | ErrorCode::SessionEnded
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
        | ErrorCode::TargetNotPermitted
        | ErrorCode::RuleDenied
        | ErrorCode::RuleError
        | ErrorCode::ApprovalRequired
        | ErrorCode::NotPermitted
        | ErrorCode::OwnRequest
        | ErrorCode::OwnBreakGlass
        | ErrorCode::AccountUnknown
        | ErrorCode::FreshSignInRequired
        | ErrorCode::PersonRequired
        | ErrorCode::OtherRun
        | ErrorCode::SignInRefused => Exit::Denied,
        ErrorCode::GrantNotFound
        | ErrorCode::AgentNotFound
        | ErrorCode::TokenNotFound
        | ErrorCode::RuleSetNotFound
        | ErrorCode::StandingApprovalNotFound
        | ErrorCode::BreakGlassCodeNotFound
        | ErrorCode::ObservationNotFound
        | ErrorCode::RouteNotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::AgentExists
        | ErrorCode::BodyTooLarge
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::InvalidRequest
        | ErrorCode::InvalidRegistration
        | ErrorCode::InvalidRules => Exit::Usage,
        ErrorCode::IdempotencyConflict
        | ErrorCode::GrantEnded
        | ErrorCode::GrantLive
        | ErrorCode::AlreadyReviewed
        | ErrorCode::RequestChanged
        | ErrorCode::RequestDecided
        | ErrorCode::RulesChanged => Exit::Unexpected,
        ErrorCode::RequestTimeout
        | ErrorCode::ContextUnsettled
        | ErrorCode::SignInUnavailable
        | ErrorCode::ProcessingTimeout
        | ErrorCode::RateLimited
        | ErrorCode::Internal
        | ErrorCode::TargetFailed
        | ErrorCode::IssuerUnavailable
        | ErrorCode::StoreUnavailable
        | ErrorCode::WorkerNotRunning => Exit::Unreachable,
    }
}
