//! How does a step come by its credentials, and who makes sure that it does not print them?

use std::io::IsTerminal as _;
use std::sync::Arc;

use protocol::{Grant, Secret};

use super::aside::Aside;
use super::beside::Beside;
use super::child::{NotStarted, Step, Surroundings};
use super::keeper::Instructions;
use super::keys::{Endpoint, Way};
use super::live;
use super::output::{Passage, StepOutput};
use super::redaction::Redaction;
use crate::api::Broker;
use crate::args::{Redact, RunArgs};
use crate::environment::Env;
use crate::error::CliError;
use crate::mask::Masking;
use crate::output::Output;

/// Why a step did not come to be.
pub(crate) enum Failed {
    /// It could not be started.
    NotStarted(NotStarted),
    /// We would not start it.
    Unsafe(CliError),
}

/// A step that runs, and what goes on beside it.
pub(crate) struct Started {
    pub(crate) step: Step,
    pub(crate) beside: Beside,
}

/// Starts the command with the credentials in its own environment, once nothing can print them.
pub(crate) fn start(
    args: &RunArgs,
    env: &Env,
    output: &Output,
    grant: &Grant,
    broker: &Broker,
    instructions: &Instructions,
) -> Result<Started, Failed> {
    let Way { mut handed, endpoint } = Way::of(args.aws_credentials, grant, env).map_err(Failed::Unsafe)?;
    handed.removed.extend(env.scrubbed_for_child());
    let socket = live::Socket::for_step(args, env, grant, output);
    handed.open.extend(socket.iter().flat_map(live::Socket::variables));
    let served = endpoint.iter().flat_map(Endpoint::secrets);
    let secrets: Vec<&Secret> =
        std::iter::once(&instructions.settings.bearer).chain(handed.secrets()).chain(served).collect();
    Masking::of(env).register(&secrets, args.masks, output).map_err(Failed::Unsafe)?;
    // On platforms that mask as well: a mask takes effect when the platform has read it, and none promises to read
    // the step's streams in the order in which they were written (docs/adr/0020).
    let passage = |is_terminal| match args.redact {
        Redact::Always => Passage::Redacted,
        Redact::Never => Passage::Untouched,
        Redact::Auto if is_terminal => Passage::Untouched,
        Redact::Auto => Passage::Redacted,
    };
    let redaction = Arc::new(Redaction::of(secrets.into_iter().cloned().collect()));
    let aside = match (&socket, &endpoint) {
        (None, None) => None,
        (Some(_), _) | (_, Some(_)) => {
            let aside = Aside::of(broker, &grant.id, &instructions.key).map_err(Failed::Unsafe)?;
            Some(Arc::new(aside))
        }
    };
    let surroundings = Surroundings {
        grant: grant.id.as_str(),
        handed: &handed,
        #[cfg(unix)]
        path: env.get("PATH"),
        output: StepOutput {
            stdout: passage(std::io::stdout().is_terminal()),
            stderr: passage(std::io::stderr().is_terminal()),
            redaction: Arc::clone(&redaction),
        },
    };
    let step = Step::start(&args.command, &surroundings).map_err(Failed::NotStarted)?;
    let beside = aside.map_or_else(Beside::default, |aside| Beside {
        keys: endpoint.map(|endpoint| endpoint.open(Arc::clone(&aside), redaction)),
        live: socket.map(|socket| socket.listen(aside, output.clone())),
    });
    Ok(Started { step, beside })
}
