//! `serve --config FILE`: one broker, as configured, alone or beside others.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use engine::{Clock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

use crate::agents;
use crate::config::{Aws, Config};
use crate::database;
use crate::http::address::Addresses;
use crate::http::{self, Front};
use crate::listen::{self, Admission, Draining, Files};
use crate::log;
use crate::reload::{Failures, Reload, Seen};
use crate::tls::Certificate;
use crate::traces::Traces;
use crate::wiring::{self, Plan};

/// Runs until it is told to stop.
pub async fn run(path: PathBuf, form: log::Form) -> anyhow::Result<()> {
    // From the first moment on: whoever sends one early means the same.
    let hangups = signal(SignalKind::hangup())?;
    let config = Config::read(&path)?;
    let seen = Seen::now(&path, &config);
    let traces = config.telemetry.as_ref().map(Traces::to).transpose()?;
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
    let engine = wiring::engine(Plan {
        database,
        url: config.url.clone(),
        operators: config.operators(),
        oidc_ca,
        settings: config.settings(),
        aws: config.aws.as_ref().map(Aws::settings),
    })
    .await?;
    if let Some(folder) = &config.agents {
        agents::apply(folder, &engine).await?;
    }
    let files = Files::raise();
    let terms = config.admission(files);
    config.say_if_files_are_few(files);
    tracing::info!(
        connections = terms.caps.all,
        of_one_network = terms.caps.per_network,
        files = files.limit(),
        "at most so many connections"
    );
    let admission = Admission::new(terms);
    let draining = Draining::default();
    draining.set_grace(config.limits.shutdown_grace());
    let addresses = Arc::new(Addresses::new(config.terms()));
    let failures = Failures::default();
    let front = Front {
        engine: Arc::clone(&engine),
        draining: draining.clone(),
        addresses: Some(Arc::clone(&addresses)),
        certificate: certificate.clone(),
        reload_failures: failures.clone(),
        admission: Arc::clone(&admission),
    };
    let router = http::router(front.clone());
    tracing::info!(listen = %listener.local_addr()?, url = config.url, "ready");
    let reload =
        Reload { path, config, engine, addresses, admission, files, draining, certificate, failures, seen };
    tokio::spawn(reload.for_ever(hangups));
    let ended = listen::until_stopped(listener, router, front).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    ended
}
