//! The four sources of a token. Every platform uses one of them.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use protocol::Secret;
use tokio::io::AsyncReadExt as _;

use super::endpoint::TokenEndpoint;
use super::error::IdentityError;
use super::files::read_text;

/// How long the platform's program may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const LONGEST: u64 = 64 * 1024;

/// Where a token comes from.
#[derive(Debug)]
pub(super) enum TokenSource {
    /// The platform set a variable when the job began: the same token with each call.
    Variable {
        /// The variable.
        name: String,
        /// Its value.
        token: Secret,
    },
    /// The platform renews a file: read with each call.
    File(PathBuf),
    /// The platform mints a token for each request of the job.
    Endpoint(Box<TokenEndpoint>),
    /// `circleci run oidc get`, the program by its absolute path.
    CircleCi(PathBuf),
}

impl TokenSource {
    /// The audience that the token will have when `wanted` is requested.
    pub(super) fn audience<'a>(&'a self, wanted: &'a str) -> &'a str {
        match self {
            Self::Endpoint(endpoint) => endpoint.audience(wanted),
            Self::Variable { .. } | Self::File(_) | Self::CircleCi(_) => wanted,
        }
    }

    /// A token as the platform returns it, unchecked.
    pub(super) async fn fetch(&self, http: &reqwest::Client, wanted: &str) -> Result<Secret, IdentityError> {
        match self {
            Self::Variable { token, .. } => Ok(token.clone()),
            Self::File(path) => match read_text(path) {
                Ok(text) if text.is_empty() => {
                    Err(self.not_issued("expected a token, found an empty file", None))
                }
                Ok(text) => Ok(Secret::new(text)),
                Err(error) => {
                    Err(self.not_issued(&error.to_string(), Some("look at the file's path and mode")))
                }
            },
            Self::Endpoint(endpoint) => endpoint.fetch(http, wanted).await,
            Self::CircleCi(program) => {
                let hint = Some("run `circleci run oidc get` in the step to see what it says");
                let claims = serde_json::json!({ "aud": wanted }).to_string();
                let args = ["run", "oidc", "get", "--claims", &claims];
                let answer = tokio::time::timeout(TIMEOUT, run(program, &args)).await;
                let given =
                    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
                given.map_err(|what| self.not_issued(&what, hint))
            }
        }
    }

    fn not_issued(&self, what: &str, hint: Option<&'static str>) -> IdentityError {
        IdentityError::NotIssued { source_of_token: self.to_string(), what: what.to_owned(), hint }
    }
}

/// Runs a program and returns its standard output. Its standard error may contain tokens and is not read.
async fn run(program: &PathBuf, args: &[&str]) -> Result<Secret, String> {
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env_remove("CLOUDANIX_AUTH_TOKEN")
        .env_remove("CLOUDANIX_AUTH_TOKEN_FILE")
        .env_remove("CLOUDANIX_OPERATOR_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let mut printed = String::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(LONGEST).read_to_string(&mut printed).await;
        read.map_err(|error| format!("cannot be read: {error}"))?;
    }
    let status = child.wait().await.map_err(|error| format!("cannot be waited for: {error}"))?;
    match printed.trim() {
        _ if !status.success() => Err(format!("expected success, found {status}")),
        "" => Err("expected a token, found nothing".to_owned()),
        token => Ok(Secret::new(token)),
    }
}

/// The source in the terms of the platform's documentation, never the token.
impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { name, .. } => write!(f, "${name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Endpoint(endpoint) => f.write_str(endpoint.shown),
            Self::CircleCi(_) => f.write_str("circleci run oidc get"),
        }
    }
}
