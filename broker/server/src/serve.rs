//! `serve --config FILE`: on one machine, as configured.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::{Clock, Engine, OperatorTokens, Settings, SystemClock};
use store::ApplyMode;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Aws, Config};
use crate::database;
use crate::http::address::{Addresses, Terms};
use crate::http::{self, Front};
use crate::listen::{self, Draining};
use crate::reload::{self, Reload};
use crate::tls::Certificate;
use crate::wiring::{self, Plan};

/// Runs until it is told to stop.
pub async fn run(path: PathBuf) -> anyhow::Result<()> {
    let config = Config::read(&path)?;
    let listener =
        TcpListener::bind(config.listen).with_context(|| format!("cannot listen on `{}`", config.listen))?;
    let certificate =
        config.tls.as_ref().map(|files| Certificate::read(files, SystemClock.now())).transpose()?;
    let database = database::of(&config)?;
    let oidc_ca = config
        .oidc_ca_file
        .as_ref()
        .map(|path| std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display())))
        .transpose()?;
    let engine = wiring::engine(Plan {
        database,
        url: config.url.clone(),
        operators: OperatorTokens {
            operators: config.operator_token_hashes,
            introspectors: config.introspection_token_hashes,
        },
        oidc_ca,
        settings: Settings {
            heartbeat: config.limits.heartbeat.into(),
            elevations_per_minute: config.limits.elevations_per_minute,
            signing_key_age: Duration::from_secs(u64::from(config.limits.signing_key_days) * 86_400),
            reconciling: config
                .aws
                .as_ref()
                .map_or_else(|| Settings::default().reconciling, Aws::reconciling),
            ..Settings::default()
        },
        aws: config.aws.as_ref().map(Aws::settings),
    })
    .await?;
    if let Some(folder) = &config.agents {
        register_from(folder, &engine).await?;
    }
    let draining = Draining::default();
    let addresses = Arc::new(Addresses::new(Terms {
        per_minute: config.limits.requests_per_minute_per_address,
        trusted_proxies: config.limits.trusted_proxies(),
    }));
    let failures = reload::Failures::default();
    let router = http::router(Front {
        engine: Arc::clone(&engine),
        draining: draining.clone(),
        addresses: Some(addresses),
        certificate: certificate.clone(),
        reload_failures: failures.clone(),
    });
    let reload = Reload::new(config.tls, certificate.clone(), failures);
    tokio::spawn(reload.for_ever(signal(SignalKind::hangup())?));
    tracing::info!(listen = %listener.local_addr()?, url = config.url, "ready");
    listen::until_stopped(listener, certificate.as_ref(), router, engine, draining).await
}

/// Applies every `*.toml` in the folder, by name. One bad file stops the start: half a set of agents would be
/// a surprise.
async fn register_from(folder: &Path, engine: &Engine) -> anyhow::Result<()> {
    let shown = folder.display();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder `{shown}`"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    for path in files {
        let shown = path.display();
        let source = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{shown}`"))?;
        let applied = engine
            .apply_agent(&source, ApplyMode::Replace)
            .await
            .map_err(|refusal| anyhow::anyhow!("`{shown}`: {refusal}"))?;
        if applied.auth_token.is_some() {
            // Nobody is there to be shown the first token.
            tracing::info!(agent = %applied.agent_id, "new agent: `cloudanix-jit agent rotate-token {}` makes its auth token", applied.agent_id);
        }
    }
    Ok(())
}
