//! The commands, one file each, named as they are typed.

pub(crate) mod agent;
pub(crate) mod approvals;
pub(crate) mod break_glass;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod elevate;
pub(crate) mod grants;
pub(crate) mod health;
mod input;
pub(crate) mod login;
pub(crate) mod notifications;
pub(crate) mod observations;
pub(crate) mod requests;
pub(crate) mod revoke;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod sessions;
pub(crate) mod status;
pub(crate) mod timeline;
pub(crate) mod whoami;

use std::future::Future;
use std::io::{self, BufRead as _, Read as _};
use std::pin::{Pin, pin};
use std::time::Duration;

use jit_client::{Env, RetryPolicy};
use protocol::GrantId;

use crate::error::CliError;

/// For the calls of operators and persons.
pub(crate) const RETRIES: RetryPolicy =
    RetryPolicy { attempt: Duration::from_secs(10), overall: Duration::from_secs(30) };

/// Runs `work` on one thread. Only commands that use the network call it.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let mut done = None;
    run_to_end(pin!(async { done = Some(work.await) }))?;
    done.unwrap_or_else(|| Err(CliError::unexpected("the work of the command did not end")))
}

/// The runtime's loop, once in the program and not once for each command.
fn run_to_end(work: Pin<&mut dyn Future<Output = ()>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed = |error: io::Error| CliError::unexpected(format!("the runtime cannot be started: {error}"));
    runtime.map_err(failed)?.block_on(work);
    Ok(())
}

/// One line that a person types, of at most so many bytes.
pub(crate) fn line_of_input(longest: u64) -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().take(longest).read_line(&mut line)?;
    Ok(line)
}

/// The grant in `CLOUDANIX_GRANT_ID`, which `elevate` exports.
pub(crate) fn grant_of_the_environment(env: &Env) -> Result<Option<GrantId>, CliError> {
    env.get("CLOUDANIX_GRANT_ID")
        .map(|id| id.parse().map_err(|error| CliError::usage(format!("`CLOUDANIX_GRANT_ID`: {error}"))))
        .transpose()
}
