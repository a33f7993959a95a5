//! The start of a step, with its credentials and their redaction.

use std::io::IsTerminal as _;
use std::sync::Arc;

use jit_client::{ActiveGrant, Env, scrubbed_for_child};
use protocol::{Grant, Secret};

use super::aws_call_log;
use super::aws_endpoint::Endpoint;
use super::child::{NotStarted, Step, StepContext};
use super::delivery::CredentialDelivery;
use super::output::{StepOutput, StreamMode};
use super::redaction::Redaction;
use super::step_services::StepServices;
use crate::args::{Redact, StepArgs};
use crate::error::CliError;
use crate::mask::Masking;
use crate::output::Output;

/// Why a step was not started.
pub(crate) enum StartError {
    /// The command could not be started.
    NotStarted(NotStarted),
    /// Starting it would expose a secret.
    Unsafe(CliError),
}

/// A step that runs, and its services.
pub(crate) struct Started {
    pub(crate) step: Step,
    pub(crate) services: StepServices,
}

/// Starts the command with the credentials in its environment, after they are masked and redacted.
pub(crate) fn start(
    args: &StepArgs,
    env: &Env,
    output: &Output,
    grant: &Grant,
    active: &ActiveGrant,
    auth_token: &Secret,
) -> Result<Started, StartError> {
    let CredentialDelivery { mut step_env, endpoint } =
        CredentialDelivery::choose(args.aws_credentials, grant, env).map_err(StartError::Unsafe)?;
    step_env.removed.extend(scrubbed_for_child(env));
    step_env.open.push(("CLOUDANIX_GRANT_ID", grant.id.to_string()));
    let socket = aws_call_log::Socket::for_step(args, env, grant, output);
    step_env.open.extend(socket.iter().flat_map(aws_call_log::Socket::variables));
    let served = endpoint.iter().flat_map(Endpoint::secrets);
    let secrets: Vec<&Secret> = std::iter::once(auth_token).chain(step_env.secrets()).chain(served).collect();
    Masking::of(env).register(&secrets, args.masks, output).map_err(StartError::Unsafe)?;
    // Also on platforms that mask: a mask takes effect when the platform has read it, and no platform promises to read
    // the step's streams in the order in which they were written (docs/adr/0020).
    let mode = |is_terminal| match args.redact {
        Redact::Always => StreamMode::Redacted,
        Redact::Never => StreamMode::Inherited,
        Redact::Auto if is_terminal => StreamMode::Inherited,
        Redact::Auto => StreamMode::Redacted,
    };
    let redaction = Arc::new(Redaction::new(secrets.into_iter().cloned().collect()));
    let side_channel = match (&socket, &endpoint) {
        (None, None) => None,
        (Some(_), _) | (_, Some(_)) => {
            let own = active.with_own_connections().map_err(|error| StartError::Unsafe(error.into()))?;
            Some(Arc::new(own))
        }
    };
    let context = StepContext {
        step_env: &step_env,
        #[cfg(unix)]
        path: env.get("PATH"),
        output: StepOutput {
            stdout: mode(std::io::stdout().is_terminal()),
            stderr: mode(std::io::stderr().is_terminal()),
            redaction: Arc::clone(&redaction),
        },
    };
    let step = Step::start(&args.command, &context).map_err(StartError::NotStarted)?;
    let services = side_channel.map_or_else(StepServices::default, |grant| StepServices {
        endpoint: endpoint.map(|endpoint| endpoint.open(Arc::clone(&grant), redaction)),
        call_log: socket.map(|socket| socket.listen(grant, output.clone())),
    });
    Ok(Started { step, services })
}
