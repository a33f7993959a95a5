//! What has to be there before a grant is asked for, and who gives it back when there will be no step?

use std::io;
use std::path::Path;
use std::time::Duration;

use protocol::{Grant, RevokeCause};

use super::keeper::{Instructions, Keeper};
use crate::api::{Broker, Gate, Patience, Revocable, Revoked, Settings};
use crate::args::Ask;
use crate::asking::{Asking, Lease};
use crate::environment::Env;
use crate::error::CliError;
use crate::handle::{self, End, Handle};
use crate::output::{Mark, Output};

/// What platforms leave us before they kill, less the time it takes to get here.
const UNDONE_WITHIN: Duration = Duration::from_secs(6);

/// A grant that is asked for or held, with all that gives it back if we fail.
pub(crate) struct Pending {
    /// Who is asked.
    pub(crate) broker: Broker,
    /// Who gives back when we cannot.
    pub(crate) keeper: Keeper,
    /// Which run asks, and as whom.
    pub(crate) instructions: Instructions,
    /// Opened when the keeper is ready.
    gate: Gate,
    asking: Asking,
    /// How others revoke a grant that may have been issued.
    pub(crate) handle: Handle,
}

impl Pending {
    /// Everything that has to be there before the first request goes to the broker, but for the keeper.
    pub(crate) fn prepare(ask: &Ask, state: Option<&Path>, env: &Env) -> Result<Self, CliError> {
        let settings = Settings::for_agent(env)?;
        let asking = Asking::from_args(ask, Lease::Heartbeats, env)?;
        let key = handle::new_key()?;
        let gate = Gate::closed();
        let broker = Broker::behind(gate.clone(), &settings)?;
        let handle = Handle::create(state, env, &settings.url, asking.agent_id(), &key)?;
        let instructions = Instructions { settings, key, ttl: ask.ttl };
        Ok(Self { broker, instructions, keeper: Keeper::to_be(), gate, asking, handle })
    }

    /// Asks until there is a grant or a no. Dials while the keeper starts, and sends when it is ready.
    pub(crate) async fn elevate(&mut self, ask: &Ask, output: &Output) -> Result<Grant, CliError> {
        let Self { broker, instructions, keeper, gate, asking, handle: _ } = self;
        let without_keeper = async {
            // A process takes as long to start as a near broker takes to greet us: we greet it first.
            tokio::task::yield_now().await;
            match keeper.start(instructions).await {
                Ok(()) => gate.open(),
                Err(error) => return no_keeper(&error),
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            granted = asking.elevate(broker, &instructions.key, ask, output) => granted,
            error = without_keeper => Err(error),
        }
    }

    /// There will be no step because of `error`: what may have been given is given back, by the keeper if
    /// need be.
    pub(crate) async fn undo(self, error: &CliError, cause: RevokeCause, end: End, output: &Output) {
        if !self.gate.is_open() || !self.asking.may_have_granted(error) {
            return self.forget(End { revoked: true, ..end }, output).await;
        }
        let patience = Patience::within(UNDONE_WITHIN);
        match self.broker.revoke(Revocable::Key(&self.instructions.key), cause, patience).await {
            Ok(revoked @ (Revoked::Gone(_) | Revoked::Accepted(_))) => {
                self.forget(End { revoked: revoked.is_confirmed(), ..end }, output).await;
            }
            // "Unknown" may mean that our request is still on its way: the keeper looks again.
            Ok(Revoked::NothingThere) | Err(_) => {
                self.leave_to_keeper(cause, end, output).await;
            }
        }
    }

    /// The keeper goes on with the revoke. Returns whether there is one.
    pub(crate) async fn leave_to_keeper(mut self, cause: RevokeCause, end: End, output: &Output) -> bool {
        tell_caller(&mut self.handle, End { revoked: false, ..end }, output);
        self.keeper.take_over(cause).await
    }

    /// The broker has nothing left that needs us.
    pub(crate) async fn forget(mut self, end: End, output: &Output) {
        self.keeper.dismiss().await;
        // While the keeper ends.
        tell_caller(&mut self.handle, end, output);
        self.handle.forget_ours();
        self.keeper.gone().await;
    }
}

/// A state file that cannot be written changes no exit code: it still says what gives the grant back.
fn tell_caller(handle: &mut Handle, end: End, output: &Output) {
    if let Err(error) = handle.ended(end) {
        output.line(Mark::Warning, "state", &error.to_string());
    }
}

fn no_keeper(error: &io::Error) -> CliError {
    CliError::unexpected(format!("the keeper process cannot be started: {error}")).with_hint(
        "it gives the grant back if this process is killed; is the number of processes or the memory limited?",
    )
}
