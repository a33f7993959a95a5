//! How are the parts put together?

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::{Engine, OperatorTokens, Parts, Settings, SystemClock, SystemRandom};
use identity::{Http, Options, Verifier};
use signing::Issuer;
use store::postgres::{IfPending, Opening, Place};
use store::{Postgres, Sqlite, Store};
use targets::Target;
use targets::aws::{AwsSettings, AwsTarget};
use targets::token::TokenTarget;

/// How often the store is asked for due work.
pub const SWEEP_EVERY: Duration = Duration::from_millis(200);

/// Where the data is.
pub enum Database {
    /// On this machine.
    Sqlite(store::Place),
    /// On a server, where other brokers may use it too.
    Postgres {
        /// Which.
        place: Place,
        /// At most so many connections.
        connections: u32,
        /// What is done about migrations that are pending.
        pending: IfPending,
    },
}

/// What differs between the ways to run.
pub struct Plan {
    /// Where the data is.
    pub database: Database,
    /// Our own URL, the issuer of `token` grants.
    pub url: String,
    /// Whose tokens are accepted.
    pub operators: OperatorTokens,
    /// Private CAs of OIDC issuers, in PEM.
    pub oidc_ca: Option<Vec<u8>>,
    /// Limits.
    pub settings: Settings,
    /// The accounts of the `aws` target, if it has any.
    pub aws: Option<AwsSettings>,
}

/// Opens the store and starts the engine.
pub async fn engine(plan: Plan) -> anyhow::Result<Arc<Engine>> {
    let store = open(plan.database).await.context("cannot open the database")?;
    let issuer = Arc::new(Issuer::new(&plan.url)?);
    let http = Http::new(plan.oidc_ca.as_deref()).context("cannot set up the client for OIDC issuers")?;
    let mut targets: Vec<Arc<dyn Target>> = vec![Arc::new(TokenTarget::new(Arc::clone(&issuer)))];
    if let Some(aws) = plan.aws {
        targets.push(Arc::new(AwsTarget::new(aws).await));
    }
    let engine = Engine::start(Parts {
        store,
        verifier: Verifier::new(http, Options::default()),
        targets,
        issuer,
        operators: plan.operators,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        settings: plan.settings,
    })
    .await
    .map_err(|refusal| anyhow::anyhow!("{refusal}: {}", refusal.cause.as_deref().unwrap_or_default()))?;
    Ok(Arc::new(engine))
}

/// Opens it, or says what to do about that it cannot be.
async fn open(database: Database) -> anyhow::Result<Arc<dyn Store>> {
    match database {
        Database::Sqlite(place) => {
            let store = Sqlite::open(place).await;
            let store = store.map_err(|error| {
                let hint = error.hint();
                anyhow::Error::new(error).context(hint)
            })?;
            Ok(Arc::new(store))
        }
        Database::Postgres { place, connections, pending } => {
            tracing::info!(database = %place, connections, "PostgreSQL");
            let store = Postgres::open(Opening { place: &place, connections, pending }).await;
            let store = store.map_err(|error| {
                let hint = error.hint();
                anyhow::Error::new(error).context(hint)
            })?;
            Ok(Arc::new(store))
        }
    }
}
