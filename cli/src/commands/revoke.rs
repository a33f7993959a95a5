//! `revoke`: ends a grant. It can be repeated, by any process that has the handle or the grant's id.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jit_client::{Client, Env, GrantRef, RetryPolicy, Revoked};
use protocol::{Grant, GrantId, IdempotencyKey, RevokeCause, Ttl};
use tokio::time::{Instant, sleep};

use super::block_on;
use crate::args::RevokeArgs;
use crate::error::CliError;
use crate::handle::Handle;
use crate::output::{Mark, Output};
use crate::settings;

enum Which {
    Grant(GrantId),
    Handle(Box<Handle>),
}

pub(crate) fn run(args: RevokeArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let settings = settings::for_revoke(env)?;
    let state = || args.state.clone().or_else(|| env.get("CLOUDANIX_STATE").map(PathBuf::from));
    let which = match (&args.grant, state()) {
        (Some(id), _) => Which::Grant(id.clone()),
        (None, Some(path)) => {
            if is_absent(&path) {
                let text = format!("nothing to revoke · there is no state file `{}`", path.display());
                output.line(Mark::Warning, "revoke", &text);
                return Ok(());
            }
            match handle_at(&path, &settings.url)? {
                Some(handle) => Which::Handle(Box::new(handle)),
                None => {
                    output.line(Mark::Done, "revoke", "nothing to revoke · no grant was requested");
                    // A file that cannot be removed leads to the same line again.
                    let _ = std::fs::remove_file(&path);
                    return Ok(());
                }
            }
        }
        (None, None) => Which::Grant(super::grant_of_the_environment(env)?.ok_or_else(|| {
            CliError::usage(
                "no grant is named: expected GRANT_ID, `--state FILE`, or one of them in the environment",
            )
            .with_hint("`elevate` sets `CLOUDANIX_STATE` and `CLOUDANIX_GRANT_ID` for the steps that follow")
        })?),
    };
    let client = Client::new(&settings)?;
    block_on(async {
        match which {
            Which::Grant(id) => revoke(&client, GrantRef::Id(&id), args.timeout, output).await,
            Which::Handle(handle) => {
                let key: IdempotencyKey = handle.record.idempotency_key.clone();
                revoke(&client, GrantRef::Key(&key), args.timeout, output).await?;
                handle.remove();
                Ok(())
            }
        }
    })
}

/// Whether there is no file. A step that always revokes may run where no grant was requested.
fn is_absent(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Reads the handle in the file; `None` if no grant was requested.
fn handle_at(path: &Path, url: &str) -> Result<Option<Handle>, CliError> {
    let Some(handle) = Handle::open(path)? else { return Ok(None) };
    // The file must not decide where the auth token is sent.
    if handle.record.url == url {
        return Ok(Some(handle));
    }
    let found = &handle.record.url;
    Err(CliError::usage(format!("the state file is of the broker `{found}`, and `CLOUDANIX_URL` is `{url}`"))
        .with_hint("set `CLOUDANIX_URL` as it was for `elevate`"))
}

async fn revoke(client: &Client, grant: GrantRef<'_>, within: Ttl, output: &Output) -> Result<(), CliError> {
    let deadline = Instant::now() + Duration::from(within);
    match client.revoke(grant, RevokeCause::Asked, RetryPolicy::within(within.into())).await? {
        Revoked::NotFound => {
            output.line(
                Mark::Done,
                "revoke",
                "nothing to revoke · the broker knows no such grant of this agent",
            );
            Ok(())
        }
        Revoked::Gone(grant) => {
            print_end(&grant, output);
            Ok(())
        }
        Revoked::Accepted(grant) => {
            print_end(&confirmed(client, *grant, deadline).await?, output);
            Ok(())
        }
    }
}

/// Waits until the grant has ended. The broker continues without this wait.
pub(super) async fn confirmed(
    client: &Client,
    mut grant: Grant,
    deadline: Instant,
) -> Result<Grant, CliError> {
    let mut pause = Duration::from_millis(100);
    while !grant.status.is_final() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let status = grant.status.as_str();
            let why = format!("the broker has accepted it and `{}` is `{status}`", grant.id);
            return Err(CliError::RevokeNotConfirmed { why });
        }
        sleep(pause.min(left)).await;
        pause = (pause * 2).min(Duration::from_secs(2));
        grant = client
            .grant(&grant.id, RetryPolicy::within(left.max(Duration::from_millis(200))))
            .await
            .map_err(|error| CliError::RevokeNotConfirmed {
                why: format!("the broker has accepted it, and then: {error}"),
            })?;
    }
    Ok(grant)
}

pub(super) fn print_end(grant: &Grant, output: &Output) {
    let reason = grant.end_reason.as_deref().map(|reason| format!(" · {reason}")).unwrap_or_default();
    output.line(Mark::Done, "revoke", &format!("{} · {}{reason}", grant.id, grant.status.as_str()));
}
