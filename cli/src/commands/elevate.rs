//! `elevate`: a grant for the steps that follow, where a step is not one command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jit_client::{Client, Env, Lease, RetryPolicy, Revoked};
use protocol::{Credentials, Grant, IdempotencyKey, RevokeCause};

use super::block_on;
use crate::args::{ElevateArgs, GrantOutput};
use crate::elevation;
use crate::error::CliError;
use crate::export::Export;
use crate::handle::Handle;
use crate::interrupt::Interrupt;
use crate::mask::Masking;
use crate::output::{Mark, Output};
use crate::settings;
use crate::step_env::StepEnv;

/// How long to try to revoke after a failed elevation; after that the deadline ends the grant.
const REVOKE_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn run(args: ElevateArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    // Everything that can fail without the broker fails before the request.
    let settings = settings::for_agent(env)?;
    let key = jit_client::new_key()?;
    let elevation = elevation::from_args(&args.request, args.ttl, Lease::DeadlineOnly, key.clone(), env)?;
    let export = Export::prepare(args.output, env)?;
    let client = Client::new(&settings)?;
    let state = args.state.clone().or_else(|| env.get("CLOUDANIX_STATE").map(PathBuf::from));
    let mut handle = Handle::create(state.as_deref(), env, &settings.url, elevation.agent_id(), &key)?;
    block_on(async {
        let mut interrupt = Interrupt::listen()?;
        let elevated = tokio::select! {
            biased;
            () = interrupt.received() => Err(CliError::Interrupted),
            grant = elevation::elevate(&client, &elevation, (&args.request).into(), output) => grant,
        };
        let exported = elevated.and_then(|grant| {
            handle.granted(&grant)?;
            let step_env = StepEnv::of(&grant, env);
            export.write(&grant, &step_env, &absolute(handle.path()), Masking::of(env), output)?;
            warn_of_aws(&grant, env, output);
            Ok(())
        });
        match exported {
            Ok(()) => {
                output.line(Mark::Done, "state", &format!("{}", handle.path().display()));
                if args.output == GrantOutput::Env && env.get("CI").is_none() {
                    output.hint("`cloudanix-jit revoke` in the same shell revokes the grant");
                }
                Ok(())
            }
            Err(error) => {
                let may_have_granted = elevation.was_sent() && error.may_have_granted();
                if !may_have_granted || revoke(&client, &key, output).await == Remainder::Nothing {
                    handle.remove();
                } else {
                    output.hint(&format!(
                        "revoke it later with `cloudanix-jit revoke --state {}`",
                        handle.path().display()
                    ));
                }
                Err(error)
            }
        }
    })
}

/// Warns of variables that conflict with the grant's keys in the steps that follow.
fn warn_of_aws(grant: &Grant, env: &Env, output: &Output) {
    let Some(Credentials::Aws { expires_at, .. }) = &grant.credentials else { return };
    if *expires_at < grant.expires_at {
        let text = format!("the AWS keys last until {expires_at}, the grant until {}", grant.expires_at);
        output.line(Mark::Warning, "elevate", &text);
        output.hint("`cloudanix-jit run` gives a longer step new keys as it needs them");
    }
    // Some SDKs prefer a profile, or a role to assume.
    let conflicting = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN"];
    for name in env.names().filter(|name| conflicting.contains(name)) {
        let text = format!("`{name}` is set, and some AWS SDKs would use it in place of the grant's keys");
        output.line(Mark::Warning, "elevate", &text);
        output.hint("unset it for the steps that follow");
    }
}

/// The remainder at the broker of an elevation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remainder {
    Nothing,
    Unknown,
}

async fn revoke(client: &Client, key: &IdempotencyKey, output: &Output) -> Remainder {
    let policy = RetryPolicy::within(REVOKE_WITHIN);
    match client.revoke_elevation(key, RevokeCause::Asked, policy).await {
        Ok(Revoked::Gone(_) | Revoked::Accepted(_)) => {
            output.line(Mark::Done, "revoke", "the grant is revoked");
            Remainder::Nothing
        }
        Ok(Revoked::NotFound) => {
            output.line(Mark::Done, "revoke", "no grant was issued");
            Remainder::Nothing
        }
        Err(error) => {
            output.line(Mark::Warning, "revoke", &format!("not confirmed: {error}"));
            Remainder::Unknown
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
