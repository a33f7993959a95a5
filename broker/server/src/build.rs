//! Builds the engine from its parts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::{
    Engine, EngineDeps, OperatorTokens, People, PostureSource, Settings, SystemClock, SystemRandom,
};
use identity::{CacheTimes, EventVerifier, Http, Options, Verifier};
use notify::Channel;
use signing::Issuer;
use targets::Target;
use targets::aws::{AwsSettings, AwsTarget};
use targets::token::TokenTarget;

use crate::database::{self, Database};

/// How often the worker claims due work from the store.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(200);

/// The parts of the engine that depend on the configuration.
pub struct EngineConfig {
    pub database: Database,
    /// The URL of the broker, which is the issuer of `token` grants.
    pub url: String,
    pub operators: OperatorTokens,
    pub posture_sources: Vec<PostureSource>,
    pub people: Option<People>,
    pub channels: Vec<Channel>,
    /// The client for OIDC issuers.
    pub oidc_http: Http,
    pub settings: Settings,
    /// The accounts of the `aws` target, if the broker has it.
    pub aws: Option<AwsSettings>,
}

/// Opens the store and starts the engine.
pub async fn engine(config: EngineConfig) -> anyhow::Result<Arc<Engine>> {
    let store = database::open(config.database).await.context("cannot open the database")?;
    let issuer = Arc::new(Issuer::new(&config.url)?);
    let http = config.oidc_http;
    let mut targets: Vec<Arc<dyn Target>> = vec![Arc::new(TokenTarget::new(Arc::clone(&issuer)))];
    if let Some(aws) = config.aws {
        targets.push(Arc::new(AwsTarget::new(aws).await));
    }
    let engine = Engine::start(EngineDeps {
        store,
        event_verifier: EventVerifier::new(http.clone(), CacheTimes::default()),
        verifier: Verifier::new(http, Options::default()),
        targets,
        issuer,
        operators: config.operators,
        posture_sources: config.posture_sources,
        people: config.people,
        channels: config.channels,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        settings: config.settings,
    })
    .await
    .map_err(|refusal| anyhow::anyhow!("{refusal}: {}", refusal.cause.as_deref().unwrap_or_default()))?;
    Ok(Arc::new(engine))
}
