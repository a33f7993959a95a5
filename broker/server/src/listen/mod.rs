//! The listener: accepts connections until the broker stops.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use engine::Engine;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub use self::admission::{Admission, Config};
use self::counts::RefusalReason;
pub use self::files::FileLimit;
pub use self::shutdown::Draining;
use self::shutdown::{DRAIN_TIMEOUT, Shutdown, Signals};
pub(crate) use self::slot::Slot;
pub use self::table::Caps;
use crate::build::SWEEP_INTERVAL;
use crate::http::ServerState;

mod admission;
mod connection;
mod counts;
mod files;
mod shutdown;
mod slot;
mod table;

/// Pause before the next `accept` after one that failed because the process is out of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves requests and runs the worker until SIGTERM or SIGINT.
pub async fn until_stopped(listener: TcpListener, router: Router, server: ServerState) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let worker = tokio::spawn(Arc::clone(&server.engine).run_worker(SWEEP_INTERVAL));
    let (stop_serving, stopping) = watch::channel(false);
    let shutdown = Shutdown {
        signals: Signals::new()?,
        stop_serving,
        engine: Arc::clone(&server.engine),
        draining: server.draining.clone(),
    };
    let stopped = tokio::spawn(shutdown.run(worker));
    accept(listener, router, &server, stopping).await;
    if timeout(DRAIN_TIMEOUT, server.admission.drained()).await.is_err() {
        tracing::warn!(
            connections = server.admission.open(),
            "connections were closed before their requests finished"
        );
    }
    stopped.await??;
    tracing::info!("stopped");
    Ok(())
}

/// Accepts connections until the broker stops, then closes the listener.
async fn accept(
    listener: tokio::net::TcpListener,
    router: Router,
    server: &ServerState,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let next = async {
            let (stream, peer) = next(&listener, server).await;
            (stream, peer, server.admission.admit(peer).await)
        };
        let (stream, peer, slot) = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            next = next => next,
        };
        match slot {
            Ok(slot) => {
                let tls = server.certificate.as_ref().map(|certificate| certificate.current());
                let (router, stopping) = (router.clone(), stopping.clone());
                tokio::spawn(connection::serve(stream, peer, slot, tls, router, stopping));
            }
            Err(why) => note_missed_heartbeats(why, &server.engine),
        }
    }
}

/// Accepts the next connection. While the process is out of files, closes the connection that has waited longest.
async fn next(listener: &tokio::net::TcpListener, server: &ServerState) -> (TcpStream, SocketAddr) {
    loop {
        let error = match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => error,
        };
        // Any other error is about one connection, which ended before it was accepted.
        if let Some(name) = files::exhausted(&error) {
            server.admission.counts().not_accepted(name, &error);
            note_missed_heartbeats(RefusalReason::Exhausted, &server.engine);
            server.admission.shed();
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Tells the engine that heartbeats may have been refused, so that no lease ends for it. A network at its own cap is an
/// exception: it must not be able to keep leases alive.
fn note_missed_heartbeats(why: RefusalReason, engine: &Engine) {
    match why {
        RefusalReason::AllFull | RefusalReason::Exhausted => engine.reset_heartbeat_window(),
        RefusalReason::NetworkFull => {}
    }
}
