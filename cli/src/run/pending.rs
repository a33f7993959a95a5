//! What has to be there before a grant is asked for, and who gives it back when there will be no step?

use std::time::Duration;

use protocol::{Grant, IdempotencyKey, RevokeCause, Secret};

use super::keeper::{Instructions, Keeper};
use crate::api::{Broker, Patience, Revocable, Revoked, Settings};
use crate::args::Ask;
use crate::asking::{Asking, Lease};
use crate::environment::Env;
use crate::error::CliError;
use crate::handle::{self, Handle};
use crate::output::Output;

/// What platforms leave us before they kill, less the time it takes to get here.
const UNDONE_WITHIN: Duration = Duration::from_secs(6);

/// A grant that is asked for or held, with all that gives it back if we fail.
pub(crate) struct Pending {
    /// Who is asked.
    pub(crate) broker: Broker,
    /// Which run asks.
    pub(crate) key: IdempotencyKey,
    /// Who gives back when we cannot.
    pub(crate) keeper: Keeper,
    /// Our own secret, which a step must not print either.
    pub(crate) bearer: Secret,
    asking: Asking,
    handle: Handle,
}

impl Pending {
    /// Everything that has to be there before the first byte goes to the broker.
    pub(crate) async fn prepare(ask: &Ask, env: &Env) -> Result<Self, CliError> {
        let settings = Settings::for_agent(env)?;
        let asking = Asking::from_args(ask, Lease::Heartbeats, env)?;
        let key = handle::new_key()?;
        let instructions = Instructions { settings, key, ttl: ask.ttl };
        let no_keeper = |error| {
            CliError::unexpected(format!("the keeper process cannot be started: {error}")).with_hint(
                "it gives the grant back if this process is killed; is the number of processes or the memory limited?",
            )
        };
        let mut keeper = Keeper::start(&instructions).await.map_err(no_keeper)?;
        let Instructions { settings, key, ttl: _ } = instructions;
        // While the keeper starts.
        let broker = Broker::new(&settings)?;
        let handle = Handle::create(None, env, &settings.url, asking.agent_id(), &key)?;
        if let Err(error) = keeper.ready().await {
            handle.forget();
            return Err(no_keeper(error));
        }
        Ok(Self { broker, key, keeper, bearer: settings.bearer, asking, handle })
    }

    /// Asks until there is a grant or a no.
    pub(crate) async fn elevate(&self, ask: &Ask, output: &Output) -> Result<Grant, CliError> {
        self.asking.elevate(&self.broker, &self.key, ask, output).await
    }

    /// There will be no step because of `error`: what may have been given is given back, by the keeper if
    /// need be.
    pub(crate) async fn undo(self, error: &CliError, cause: RevokeCause) {
        if !self.asking.may_have_granted(error) {
            return self.forget().await;
        }
        let patience = Patience::within(UNDONE_WITHIN);
        match self.broker.revoke(Revocable::Key(&self.key), cause, patience).await {
            Ok(Revoked::Gone(_) | Revoked::Accepted(_)) => self.forget().await,
            // "Unknown" may mean that our request is still on its way: the keeper looks again.
            Ok(Revoked::NothingThere) | Err(_) => {
                self.keeper.take_over(cause).await;
            }
        }
    }

    /// Nothing is left to be given back.
    pub(crate) async fn forget(self) {
        self.handle.forget();
        self.keeper.dismiss().await;
    }
}
