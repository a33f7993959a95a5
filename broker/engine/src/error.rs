//! The error of every use case.

use protocol::{ErrorCode, Problem};
use store::StoreError;

use crate::clock::NoRandomness;

/// A refusal. The caller gets code, detail and hint; the cause is only logged.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    pub code: ErrorCode,
    /// The expected and the found value.
    pub detail: String,
    /// How the caller can resolve the error.
    pub hint: Option<String>,
    /// Seconds until a retry can succeed.
    pub retry_after: Option<u64>,
    /// Logged, never sent.
    pub cause: Option<String>,
}

impl Refusal {
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), hint: None, retry_after: None, cause: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Adds a cause for the log.
    #[must_use]
    pub fn because(mut self, cause: impl ToString) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// The problem document for the caller.
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.code, self.detail.clone());
        match &self.hint {
            Some(hint) => problem.with_hint(hint.clone()),
            None => problem,
        }
    }

    pub(crate) fn no_such_grant() -> Self {
        Self::new(ErrorCode::GrantNotFound, "no grant of this agent has this id or idempotency key")
    }

    pub(crate) fn target_failed(what: &str) -> Self {
        Self::new(ErrorCode::TargetFailed, format!("the target failed: {what}"))
    }

    pub(crate) fn grant_ended(reason: Option<String>) -> Self {
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        Self::new(ErrorCode::GrantEnded, format!("the grant has ended{reason}"))
            .hint("ask for a new grant with a new idempotency key")
    }
}

/// An error with its sources, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let cause = chain(&error);
        match error {
            StoreError::Unavailable(_) => {
                Self::new(ErrorCode::StoreUnavailable, "the broker's database is not available")
                    .hint("try again in a moment")
                    .because(cause)
            }
            StoreError::Corrupt { .. } => {
                Self::new(ErrorCode::Internal, "the broker's database holds something unexpected")
                    .because(cause)
            }
        }
    }
}

impl From<NoRandomness> for Refusal {
    fn from(error: NoRandomness) -> Self {
        Self::new(ErrorCode::Internal, "the broker has no randomness").because(error)
    }
}

impl From<policy::Denied> for Refusal {
    fn from(denied: policy::Denied) -> Self {
        Self::new(denied.code, denied.detail).hint(denied.hint)
    }
}

impl From<identity::Refused> for Refusal {
    fn from(refused: identity::Refused) -> Self {
        let cause = chain(&refused);
        let mut refusal = Self::new(refused.code(), refused.to_string()).because(cause);
        refusal.hint = refused.hint().map(|hint| hint.to_string());
        refusal
    }
}

impl From<identity::SignInError> for Refusal {
    fn from(error: identity::SignInError) -> Self {
        let code = match error {
            identity::SignInError::Unavailable(_) => ErrorCode::SignInUnavailable,
            identity::SignInError::Refused(_) => ErrorCode::SignInRefused,
        };
        Self::new(code, error.to_string())
    }
}
