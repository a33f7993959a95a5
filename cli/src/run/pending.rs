//! A grant that is requested: everything that has to exist before the first request, and the revoke if no step follows.

use std::io;
use std::path::Path;
use std::time::Duration;

use protocol::{Grant, RevokeCause, Ttl};

use super::keeper::{Instructions, Keeper};
use crate::args::RequestArgs;
use crate::elevation::{self, Patience};
use crate::error::CliError;
use crate::handle::{End, Handle};
use crate::output::{Mark, Output};
use crate::settings;
use jit_client::{Client, Elevation, Env, Gate, GrantRef, Lease, RetryPolicy, Revoked, Settings};

/// The time between a platform's stop signal and its kill, less the time to get here.
const REVOKE_WITHIN: Duration = Duration::from_secs(6);

/// A grant that is requested or active, with everything that revokes it if this process fails.
pub(crate) struct Pending {
    /// The client of the broker.
    pub(crate) client: Client,
    /// Revokes if this process dies.
    pub(crate) keeper: Keeper,
    /// What the keeper needs to revoke.
    pub(crate) instructions: Instructions,
    /// Opens when the keeper is ready.
    gate: Gate,
    elevation: Elevation,
    /// How others revoke a grant that may have been issued.
    pub(crate) handle: Handle,
}

impl Pending {
    /// Prepares everything but the keeper, and sends nothing.
    pub(crate) fn prepare(
        args: &RequestArgs,
        ttl: Ttl,
        state: Option<&Path>,
        env: &Env,
    ) -> Result<Self, CliError> {
        let settings = settings::for_agent(env)?;
        let elevation = elevation::from_args(args, ttl, Lease::Heartbeats, jit_client::new_key()?, env)?;
        Self::new(settings, elevation, ttl, state, env)
    }

    pub(crate) fn new(
        settings: Settings,
        elevation: Elevation,
        ttl: Ttl,
        state: Option<&Path>,
        env: &Env,
    ) -> Result<Self, CliError> {
        let key = elevation.key().clone();
        let gate = Gate::closed();
        let client = Client::behind(gate.clone(), &settings)?;
        let handle = Handle::create(state, env, &settings.url, elevation.agent_id(), &key)?;
        let instructions = Instructions { settings, key, ttl };
        Ok(Self { client, instructions, keeper: Keeper::not_started(), gate, elevation, handle })
    }

    /// Elevates. The connection is made while the keeper starts, and the request is sent when the keeper is ready.
    pub(crate) async fn elevate(&mut self, patience: Patience, output: &Output) -> Result<Grant, CliError> {
        let Self { client, instructions, keeper, gate, elevation, handle: _ } = self;
        let without_keeper = async {
            // A process takes as long to start as a near broker takes to accept: the connection goes first.
            tokio::task::yield_now().await;
            match keeper.start(instructions).await {
                Ok(()) => gate.open(),
                Err(error) => return no_keeper(&error),
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            granted = elevation::elevate(client, elevation, patience, output) => granted,
            error = without_keeper => Err(error),
        }
    }

    /// Revokes what may have been granted when no step follows because of `error`; by the keeper if need be.
    pub(crate) async fn abandon(self, error: &CliError, cause: RevokeCause, end: End, output: &Output) {
        if !self.gate.is_open() || !self.elevation.was_sent() || !error.may_have_granted() {
            return self.finish(End { revoked: true, ..end }, output).await;
        }
        let patience = RetryPolicy::within(REVOKE_WITHIN);
        match self.client.revoke(GrantRef::Key(&self.instructions.key), cause, patience).await {
            Ok(revoked @ (Revoked::Gone(_) | Revoked::Accepted(_))) => {
                self.finish(End { revoked: revoked.is_confirmed(), ..end }, output).await;
            }
            // "Not found" may mean that the elevate request is still on its way: the keeper repeats the revoke.
            Ok(Revoked::NotFound) | Err(_) => {
                self.leave_to_keeper(cause, end, output).await;
            }
        }
    }

    /// Leaves the revoke to the keeper. Returns whether it runs.
    pub(crate) async fn leave_to_keeper(mut self, cause: RevokeCause, end: End, output: &Output) -> bool {
        write_outcome(&mut self.handle, End { revoked: false, ..end }, output);
        self.keeper.continue_alone(cause).await
    }

    /// Ends the keeper: there is nothing left to revoke.
    pub(crate) async fn finish(mut self, end: End, output: &Output) {
        self.keeper.dismiss().await;
        // While the keeper ends.
        write_outcome(&mut self.handle, end, output);
        self.handle.remove_if_own();
        self.keeper.wait().await;
    }
}

/// Writes the outcome. A state file that cannot be written changes no exit code: it still has the key for a revoke.
fn write_outcome(handle: &mut Handle, end: End, output: &Output) {
    if let Err(error) = handle.ended(end) {
        output.line(Mark::Warning, "state", &error.to_string());
    }
}

fn no_keeper(error: &io::Error) -> CliError {
    CliError::unexpected(format!("the keeper process cannot be started: {error}")).with_hint(
        "it revokes the grant if this process is killed; is the number of processes or the memory limited?",
    )
}
