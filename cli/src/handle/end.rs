//! The outcome of a `run`, for the wrapper that started it: it need not parse standard error.

use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// Written into the state file of a `run` when it ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    /// The exit code of `run`.
    pub(crate) exit_code: i32,
    /// Whether it is confirmed that no grant of this handle is live. If not, `revoke --state` tries again.
    pub(crate) revoked: bool,
    /// Why the command was not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
}

/// An error as `run` prints it: what happened, what to do, and the broker's code for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Problem {
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
}

impl End {
    /// The command was not started because of this error. The revoke is not confirmed yet.
    pub(crate) fn not_started(error: &CliError) -> Self {
        Self {
            exit_code: i32::from(error.exit_of_run().code()),
            revoked: false,
            problem: Some(Problem::from(error)),
        }
    }
}

impl From<&CliError> for Problem {
    fn from(error: &CliError) -> Self {
        let code = error.problem().map(|problem| problem.code.clone());
        Self { message: error.to_string(), hint: error.hint().map(str::to_owned), code }
    }
}
