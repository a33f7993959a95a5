//! Listening, and stopping without cutting anybody off.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use engine::Engine;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};

use crate::tls::Certificate;
use crate::wiring::SWEEP_EVERY;

/// How long requests and work under way get to finish when the broker stops.
const DRAIN: Duration = Duration::from_secs(10);
/// Answers are small and go out at once: waiting for more to send (Nagle) meets the client's waiting before it
/// acknowledges, and costs 40 ms for each handshake.
const AT_ONCE: NoDelayAcceptor = NoDelayAcceptor;
/// How long a client may take to send its request's head. A connection on which nothing was said yet is not
/// under hyper's timer, which begins when it is known which HTTP is spoken: that one has a timer of its own.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the broker is about to stop: `/readyz` says no from the first SIGTERM on.
#[derive(Debug, Clone, Default)]
pub struct Draining(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_on: AtomicBool,
    grace_millis: AtomicU64,
}

impl Draining {
    /// Whether the broker is about to stop.
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// How long it goes on listening then, so that whoever sends requests here can notice.
    pub fn set_grace(&self, grace: Duration) {
        self.0.grace_millis.store(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn begin(&self) -> Duration {
        self.0.is_on.store(true, Ordering::Relaxed);
        Duration::from_millis(self.0.grace_millis.load(Ordering::Relaxed))
    }
}

/// Serves until SIGTERM or SIGINT, with the worker beside it.
pub async fn until_stopped(
    listener: TcpListener,
    certificate: Option<&Certificate>,
    router: Router,
    engine: Arc<Engine>,
    draining: Draining,
) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let worker = tokio::spawn(Arc::clone(&engine).work(SWEEP_EVERY));
    let handle = Handle::new();
    let stop = Stop { signals: Signals::new()?, handle: handle.clone(), engine, draining };
    let stopped = tokio::spawn(stop.when_it_is_time(worker));
    let app = router.into_make_service_with_connect_info::<SocketAddr>();
    match certificate {
        Some(certificate) => {
            let tls = certificate.current();
            let mut server = axum_server::from_tcp(listener)?
                .acceptor(RustlsAcceptor::new(tls).acceptor(AT_ONCE))
                .handle(handle)
                .first_request_timeout(HEAD_TIMEOUT);
            bound_the_head(server.http_builder());
            server.serve(app).await?;
        }
        None => {
            let mut server = axum_server::from_tcp(listener)?
                .acceptor(AT_ONCE)
                .handle(handle)
                .first_request_timeout(HEAD_TIMEOUT);
            bound_the_head(server.http_builder());
            server.serve(app).await?;
        }
    }
    stopped.await??;
    tracing::info!("stopped");
    Ok(())
}

fn bound_the_head(http: &mut Builder<TokioExecutor>) {
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

struct Stop {
    signals: Signals,
    handle: Handle<SocketAddr>,
    engine: Arc<Engine>,
    draining: Draining,
}

impl Stop {
    /// At a signal: not ready any more, then deaf to new requests, and over when requests and work under way are.
    /// A worker that ends by itself is a fault for which there is no cure but a new process.
    async fn when_it_is_time(mut self, mut worker: JoinHandle<()>) -> anyhow::Result<()> {
        tokio::select! {
            () = self.signals.next() => {}
            ended = &mut worker => return Err(self.without_a_worker(ended)),
        }
        let grace = self.draining.begin();
        tracing::info!(?grace, "stopping: not ready any more; another signal ends the grace");
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            () = self.signals.next() => {}
            ended = &mut worker => return Err(self.without_a_worker(ended)),
        }
        tracing::info!("stopping: requests and work under way may finish");
        self.engine.stop_working();
        self.handle.graceful_shutdown(Some(DRAIN));
        if tokio::time::timeout(DRAIN, &mut worker).await.is_err() {
            worker.abort();
            tracing::warn!("work under way did not finish: it is due again when its claim lapses");
        }
        Ok(())
    }

    fn without_a_worker(&self, ended: Result<(), JoinError>) -> anyhow::Error {
        self.draining.begin();
        self.handle.graceful_shutdown(Some(DRAIN));
        let reason = ended.err().map_or_else(|| "nobody told it to".to_owned(), |error| error.to_string());
        tracing::error!(reason, "the worker that takes back what is due has ended: the broker stops");
        anyhow::anyhow!("the worker has ended: {reason}")
    }
}
