//! Did AWS let somebody do something?

use serde_json::Value;

/// What came of one call.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was done; the answer.
    Allowed(Value),
    /// Whoever asked may not do this, or is nobody: the error's code.
    Refused(String),
    /// Anything else.
    Other(Failure),
}

/// A call that failed for another reason than permissions.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The error's code; empty when there was no answer.
    pub code: String,
    /// The HTTP status; 0 where it is not known.
    pub status: u16,
    /// In words.
    pub message: String,
}

/// The codes by which services say that it is the caller, and not the call, that is wrong.
const REFUSALS: [&str; 11] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
];

impl Outcome {
    pub(super) fn of_error(failure: Failure) -> Self {
        match REFUSALS.contains(&failure.code.as_str()) {
            true => Self::Refused(failure.code),
            false => Self::Other(failure),
        }
    }

    /// Whether it was done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Whether whoever asked may not.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// The error's code; empty when it was done, or when there was no answer.
    pub fn code(&self) -> &str {
        match self {
            Self::Allowed(_) => "",
            Self::Refused(code) => code,
            Self::Other(failure) => &failure.code,
        }
    }

    /// Status and code, which is what errors are compared by. Refusals have no status here: it differs between
    /// services.
    pub fn error(&self) -> (u16, &str) {
        match self {
            Self::Other(failure) => (failure.status, &failure.code),
            Self::Allowed(_) | Self::Refused(_) => (0, self.code()),
        }
    }

    /// The answer; fails the test when it was not done.
    #[track_caller]
    pub fn expect_allowed(self) -> Value {
        match self {
            Self::Allowed(answer) => answer,
            Self::Refused(_) | Self::Other(_) => panic!("expected an answer, found {self:?}"),
        }
    }
}
