//! Classifies the outcome of an AWS call: allowed, refused, or failed.

use serde_json::Value;

/// The outcome of one call.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// AWS made the call; its response.
    Allowed(Value),
    /// AWS refused the caller, who lacks permission or is unknown: the error's code.
    Refused(String),
    /// The call failed for any other reason.
    Other(Failure),
}

/// A failure for a reason other than permissions.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The error's code; empty without a response.
    pub code: String,
    /// The HTTP status; 0 if unknown.
    pub status: u16,
    /// The error's message.
    pub message: String,
}

/// The error codes that refuse the caller rather than the call.
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

    /// Whether AWS made the call.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Whether AWS refused the caller.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// The error's code; empty for an allowed call, or without a response.
    pub fn code(&self) -> &str {
        match self {
            Self::Allowed(_) => "",
            Self::Refused(code) => code,
            Self::Other(failure) => &failure.code,
        }
    }

    /// Status and code, to compare errors by. Refusals have no status here, because it differs between services.
    pub fn error(&self) -> (u16, &str) {
        match self {
            Self::Other(failure) => (failure.status, &failure.code),
            Self::Allowed(_) | Self::Refused(_) => (0, self.code()),
        }
    }

    /// The response; fails the test unless AWS allowed the call.
    #[track_caller]
    pub fn expect_allowed(self) -> Value {
        match self {
            Self::Allowed(answer) => answer,
            Self::Refused(_) | Self::Other(_) => panic!("expected an answer, found {self:?}"),
        }
    }
}
