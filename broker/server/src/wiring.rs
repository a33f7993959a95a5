//! How are the parts put together?

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::{Engine, EngineDeps, OperatorTokens, Settings, SystemClock, SystemRandom};
use identity::{Http, Options, Verifier};
use signing::Issuer;
use targets::Target;
use targets::aws::{AwsSettings, AwsTarget};
use targets::token::TokenTarget;

use crate::database::{self, Database};

/// How often the store is asked for due work.
pub const SWEEP_EVERY: Duration = Duration::from_millis(200);

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
    let store = database::open(plan.database).await.context("cannot open the database")?;
    let issuer = Arc::new(Issuer::new(&plan.url)?);
    let http = Http::new(plan.oidc_ca.as_deref()).context("cannot set up the client for OIDC issuers")?;
    let mut targets: Vec<Arc<dyn Target>> = vec![Arc::new(TokenTarget::new(Arc::clone(&issuer)))];
    if let Some(aws) = plan.aws {
        targets.push(Arc::new(AwsTarget::new(aws).await));
    }
    let engine = Engine::start(EngineDeps {
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
