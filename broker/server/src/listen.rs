//! Listening, and stopping without cutting anybody off.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use engine::Engine;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::tls::Certificate;
use crate::wiring::SWEEP_EVERY;

/// How long requests that are under way get to finish after a SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);
/// Answers are small and go out at once: waiting for more to send (Nagle) meets the client's waiting before it
/// acknowledges, and costs 40 ms for each handshake.
const AT_ONCE: NoDelayAcceptor = NoDelayAcceptor;
/// How long a client may take to send its request's head. A connection on which nothing was said yet is not
/// under hyper's timer, which begins when it is known which HTTP is spoken: that one has a timer of its own.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Becomes true at the first SIGTERM: `/readyz` says no from then on.
#[derive(Debug, Clone, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// Whether the broker is about to stop.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
    let worker = tokio::spawn(engine.work(SWEEP_EVERY));
    let handle = Handle::new();
    tokio::spawn(drain_on_signal(handle.clone(), draining)?);
    let app = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
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
    worker.abort();
    tracing::info!("stopped");
    Ok(())
}

fn bound_the_head(http: &mut Builder<TokioExecutor>) {
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
}

fn drain_on_signal(
    handle: Handle<std::net::SocketAddr>,
    draining: Draining,
) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests under way may finish");
        draining.0.store(true, Ordering::Relaxed);
        handle.graceful_shutdown(Some(DRAIN));
    })
}
