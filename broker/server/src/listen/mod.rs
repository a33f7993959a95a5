//! Listening, and stopping without cutting anybody off.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use engine::Engine;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};

pub use self::admission::{Admission, Terms};
use self::counts::Why;
pub use self::files::Files;
pub(crate) use self::slot::Slot;
pub use self::table::Caps;
use crate::http::Front;
use crate::wiring::SWEEP_EVERY;

mod admission;
mod connection;
mod counts;
mod files;
mod slot;
mod table;

/// How long requests and work under way get to finish when the broker stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long it takes to look again when the operating system has no connection to give.
const AGAIN: Duration = Duration::from_millis(50);

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
pub async fn until_stopped(listener: TcpListener, router: Router, front: Front) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let worker = tokio::spawn(Arc::clone(&front.engine).run_worker(SWEEP_EVERY));
    let (stop_serving, stopping) = watch::channel(false);
    let stop = Stop {
        signals: Signals::new()?,
        stop_serving,
        engine: Arc::clone(&front.engine),
        draining: front.draining.clone(),
    };
    let stopped = tokio::spawn(stop.when_it_is_time(worker));
    accept(listener, router, &front, stopping).await;
    if timeout(DRAIN, front.admission.emptied()).await.is_err() {
        tracing::warn!(connections = front.admission.open(), "connections are cut off");
    }
    stopped.await??;
    tracing::info!("stopped");
    Ok(())
}

/// Takes connections until the broker stops, and no longer listens then.
async fn accept(
    listener: tokio::net::TcpListener,
    router: Router,
    front: &Front,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let next = async {
            let (stream, peer) = next(&listener, front).await;
            (stream, peer, front.admission.admit(peer).await)
        };
        let (stream, peer, slot) = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            next = next => next,
        };
        match slot {
            Ok(slot) => {
                let tls = front.certificate.as_ref().map(|certificate| certificate.current());
                let (router, stopping) = (router.clone(), stopping.clone());
                tokio::spawn(connection::serve(stream, peer, slot, tls, router, stopping));
            }
            Err(why) => holders_may_be_unheard(why, &front.engine),
        }
    }
}

/// The next connection. While there is none because files are used up, the oldest that waits is closed.
async fn next(listener: &tokio::net::TcpListener, front: &Front) -> (TcpStream, SocketAddr) {
    loop {
        let error = match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => error,
        };
        // Anything else is about one connection, which was gone before it was taken.
        if let Some(name) = files::exhausted(&error) {
            front.admission.counts().not_accepted(name, &error);
            holders_may_be_unheard(Why::Exhausted, &front.engine);
            front.admission.shed();
            sleep(AGAIN).await;
        }
    }
}

/// A heartbeat may be among what is refused, and the holder is not to blame. At the cap of one network it is only
/// this network's doing: it must not keep alive the grants of dead holders.
fn holders_may_be_unheard(why: Why, engine: &Engine) {
    match why {
        Why::AllFull | Why::Exhausted => engine.reset_heartbeat_window(),
        Why::NetworkFull => {}
    }
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
    stop_serving: watch::Sender<bool>,
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
            () = sleep(grace) => {}
            () = self.signals.next() => {}
            ended = &mut worker => return Err(self.without_a_worker(ended)),
        }
        tracing::info!("stopping: requests and work under way may finish");
        self.engine.stop_worker();
        self.stop_serving.send_replace(true);
        if timeout(DRAIN, &mut worker).await.is_err() {
            worker.abort();
            tracing::warn!("work under way did not finish: it is due again when its claim lapses");
        }
        Ok(())
    }

    fn without_a_worker(&self, ended: Result<(), JoinError>) -> anyhow::Error {
        self.draining.begin();
        self.stop_serving.send_replace(true);
        let reason = ended.err().map_or_else(|| "nobody told it to".to_owned(), |error| error.to_string());
        tracing::error!(reason, "the worker that takes back what is due has ended: the broker stops");
        anyhow::anyhow!("the worker has ended: {reason}")
    }
}
