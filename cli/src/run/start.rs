//! How does a step come by its credentials, and who makes sure that it does not print them?

use std::io::IsTerminal as _;
use std::sync::Arc;

use protocol::{Grant, Secret};

use super::child::{NotStarted, Step, Surroundings};
use super::output::{Passage, StepOutput};
use crate::args::{Redact, RunArgs};
use crate::environment::Env;
use crate::error::CliError;
use crate::handover;
use crate::mask::Masking;
use crate::output::Output;
use crate::redact::Redactor;

/// Why a step did not come to be.
pub(crate) enum Failed {
    /// It could not be started.
    NotStarted(NotStarted),
    /// We would not start it.
    Unsafe(CliError),
}

/// Starts the command with the credentials in its own environment, once nothing can print them.
pub(crate) fn start(
    args: &RunArgs,
    env: &Env,
    output: &Output,
    grant: &Grant,
    bearer: &Secret,
) -> Result<Step, Failed> {
    let credentials: Vec<(&str, &Secret)> = handover::secrets(grant).collect();
    let secrets: Vec<&Secret> =
        std::iter::once(bearer).chain(credentials.iter().map(|(_, secret)| *secret)).collect();
    let masking = Masking::of(env);
    masking.register(&secrets, output).map_err(Failed::Unsafe)?;
    let passage = |is_terminal| match args.redact {
        Redact::Always => Passage::Redacted,
        Redact::Never => Passage::Untouched,
        Redact::Auto if is_terminal || masking != Masking::Nowhere => Passage::Untouched,
        Redact::Auto => Passage::Redacted,
    };
    let surroundings = Surroundings {
        grant: grant.id.as_str(),
        credentials,
        removed: env.scrubbed_for_child(),
        #[cfg(unix)]
        path: env.get("PATH"),
        output: StepOutput {
            stdout: passage(std::io::stdout().is_terminal()),
            stderr: passage(std::io::stderr().is_terminal()),
            redactor: Arc::new(Redactor::new(secrets)),
        },
    };
    Step::start(&args.command, &surroundings).map_err(Failed::NotStarted)
}
