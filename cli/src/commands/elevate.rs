//! `elevate`: how does a platform whose step is not one command hold a grant?

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::{Credentials, Grant, IdempotencyKey, RevokeCause};
use tokio::time::sleep;

use super::block_on;
use crate::api::{Broker, Patience, Revocable, Revoked, Settings};
use crate::args::{ElevateArgs, GrantOutput};
use crate::asking::{Asking, Lease};
use crate::environment::Env;
use crate::error::CliError;
use crate::handed::Handed;
use crate::handle::{self, Handle};
use crate::handover::Handover;
use crate::interrupt::Interrupt;
use crate::mask::Masking;
use crate::output::{Mark, Output};

/// For as long as we try to give back what may have been given; after it the deadline does.
const GIVE_BACK: Duration = Duration::from_secs(10);
/// As long as a request that we gave up may take from its connection to the broker's books.
const LANDING: Duration = Duration::from_secs(1);

pub(crate) fn run(args: ElevateArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    // Everything that can fail without the broker fails before anything is given.
    let settings = Settings::for_agent(env)?;
    let asking = Asking::from_args(&args.ask, Lease::DeadlineOnly, env)?;
    let handover = Handover::prepare(args.output, env)?;
    let broker = Broker::new(&settings)?;
    let key = handle::new_key()?;
    let state = args.state.clone().or_else(|| env.get("CLOUDANIX_STATE").map(PathBuf::from));
    let mut handle = Handle::create(state.as_deref(), env, &settings.url, asking.agent_id(), &key)?;
    block_on(async {
        let mut interrupt = Interrupt::listen()?;
        let elevated = tokio::select! {
            biased;
            () = interrupt.came() => Err(CliError::Interrupted),
            grant = asking.elevate(&broker, &key, &args.ask, output) => grant,
        };
        let handed_over = elevated.and_then(|grant| {
            handle.granted(&grant)?;
            let handed = Handed::of(&grant, env);
            handover.give(&grant, &handed, &absolute(handle.path()), Masking::of(env), output)?;
            warn_of_aws(&grant, env, output);
            Ok(())
        });
        match handed_over {
            Ok(()) => {
                output.line(Mark::Done, "state", &format!("{}", handle.path().display()));
                if args.output == GrantOutput::Env && env.get("CI").is_none() {
                    output.hint("`cloudanix-jit revoke` in the same shell gives the grant back");
                }
                Ok(())
            }
            Err(error) => {
                if !asking.may_have_granted(&error) || give_back(&broker, &key, output).await == Left::Nothing
                {
                    handle.forget();
                } else {
                    output.hint(&format!(
                        "give it back later with `cloudanix-jit revoke --state {}`",
                        handle.path().display()
                    ));
                }
                Err(error)
            }
        }
    })
}

/// What the steps that follow may stumble over: nobody stands around them to change it.
fn warn_of_aws(grant: &Grant, env: &Env, output: &Output) {
    let Some(Credentials::Aws { expires_at, .. }) = &grant.credentials else { return };
    if *expires_at < grant.expires_at {
        let text = format!("the AWS keys last until {expires_at}, the grant until {}", grant.expires_at);
        output.line(Mark::Warning, "elevate", &text);
        output.hint("`cloudanix-jit run` gives a longer step new keys as it needs them");
    }
    // A profile, or a role to be assumed, that some SDKs would use first.
    let theirs = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN"];
    for name in env.names().filter(|name| theirs.contains(name)) {
        let text = format!("`{name}` is set, and some AWS SDKs would use it in place of the grant's keys");
        output.line(Mark::Warning, "elevate", &text);
        output.hint("unset it for the steps that follow");
    }
}

/// What is left at the broker of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Unknown,
}

async fn give_back(broker: &Broker, key: &IdempotencyKey, output: &Output) -> Left {
    let revoke = || broker.revoke(Revocable::Key(key), RevokeCause::Asked, Patience::within(GIVE_BACK));
    let revoked = match revoke().await {
        // Our request may still have been on its way when the broker said that it knows of none.
        Ok(Revoked::NothingThere) => {
            sleep(LANDING).await;
            revoke().await
        }
        first => first,
    };
    match revoked {
        Ok(Revoked::Gone(_) | Revoked::Accepted(_)) => {
            output.line(Mark::Done, "revoke", "what was given is given back");
            Left::Nothing
        }
        Ok(Revoked::NothingThere) => {
            output.line(Mark::Done, "revoke", "nothing was given");
            Left::Nothing
        }
        Err(error) => {
            output.line(Mark::Warning, "revoke", &format!("not confirmed: {error}"));
            Left::Unknown
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
