//! `serve --config FILE`: runs a broker as configured.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use engine::{Clock, SystemClock};
use identity::Http;
use targets::aws::AwsConfig;
use tokio::signal::unix::{SignalKind, signal};

use crate::build::{self, EngineConfig};
use crate::config::Config;
use crate::database;
use crate::http::observer::Observer;
use crate::http::rate_limit::PerIpLimiter;
use crate::http::{self, ServerState};
use crate::listen::{self, Admission, Draining, FileLimit};
use crate::log;
use crate::registration_folder;
use crate::reload::{Failures, Fingerprints, Reload};
use crate::rules_folder::{self, FolderRefused};
use crate::tls::Certificate;
use crate::traces::Traces;

/// Runs until SIGTERM or SIGINT.
pub async fn run(path: PathBuf, form: log::Form) -> anyhow::Result<()> {
    // Before anything else, so that an early SIGHUP does not end the process.
    let hangups = signal(SignalKind::hangup())?;
    let config = Config::read(&path)?;
    let loaded = Fingerprints::now(&path, &config);
    let traces = config.telemetry.as_ref().map(Traces::exporting_to).transpose()?;
    log::start(form, traces.as_ref());
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
    let oidc_http = Http::new(oidc_ca.as_deref()).context("cannot set up the client for OIDC issuers")?;
    let engine = build::engine(EngineConfig {
        database,
        url: config.url.clone(),
        operators: config.operators(),
        posture_sources: config.posture_sources(),
        people: config.people(&oidc_http)?,
        channels: config.channels()?,
        oidc_http: oidc_http.clone(),
        settings: config.settings(),
        aws: config.aws.as_ref().map(AwsConfig::settings),
    })
    .await?;
    if let Some(folder) = &config.agents {
        registration_folder::apply(folder, &engine).await?;
    }
    let rules_folder_refused = FolderRefused::default();
    if let Some(folder) = &config.rules.folder
        && let Err(error) = rules_folder::apply(folder, &engine).await
    {
        // Without a set that was active before, every request within a boundary would be allowed.
        if engine.rules_state().await?.active.is_none() {
            return Err(error.into());
        }
        rules_folder_refused.set(true);
        let error = format!("{:#}", anyhow::Error::new(error));
        tracing::error!(error, "the rules that were there before stay active");
    }
    let observer = Arc::new(Observer::new(config.observer()?));
    let files = FileLimit::raise();
    let limits = config.admission(files);
    config.warn_if_few_files(files);
    tracing::info!(
        connections = limits.caps.all,
        of_one_network = limits.caps.per_network,
        files = files.limit(),
        "at most so many connections"
    );
    let admission = Admission::new(limits);
    let draining = Draining::default();
    draining.set_grace(config.limits.shutdown_grace());
    let per_ip_limiter = Arc::new(PerIpLimiter::new(config.rate_limit()));
    let failures = Failures::default();
    let server = ServerState {
        engine: Arc::clone(&engine),
        draining: draining.clone(),
        per_ip_limiter: Some(Arc::clone(&per_ip_limiter)),
        certificate: certificate.clone(),
        reload_failures: failures.clone(),
        rules_folder_refused: rules_folder_refused.clone(),
        observer: Arc::clone(&observer),
        admission: Arc::clone(&admission),
        url: Some(config.url.clone()),
    };
    let router = http::router(server.clone());
    tracing::info!(listen = %listener.local_addr()?, url = config.url, "ready");
    let reload = Reload {
        path,
        config,
        engine,
        per_ip_limiter,
        admission,
        files,
        draining,
        certificate,
        failures,
        rules_folder_refused,
        observer,
        oidc_http,
        loaded,
    };
    tokio::spawn(reload.watch(hangups));
    let ended = listen::until_stopped(listener, router, server).await;
    if let Some(traces) = traces {
        traces.shut_down().await;
    }
    ended
}
