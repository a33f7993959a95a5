//! Graceful shutdown: readiness fails first, then the listener closes, then work in progress finishes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::Engine;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};

/// Time limit for requests and work in progress when the broker stops.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the broker is stopping: `/readyz` fails from the first SIGTERM on.
#[derive(Debug, Clone, Default)]
pub struct Draining(Arc<DrainState>);

#[derive(Debug, Default)]
struct DrainState {
    is_on: AtomicBool,
    grace_millis: AtomicU64,
}

impl Draining {
    /// Whether the broker is stopping.
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Sets how long the broker continues to listen while it is not ready, so that load balancers can react.
    pub fn set_grace(&self, grace: Duration) {
        self.0.grace_millis.store(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn begin(&self) -> Duration {
        self.0.is_on.store(true, Ordering::Relaxed);
        Duration::from_millis(self.0.grace_millis.load(Ordering::Relaxed))
    }
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The shutdown, and the parts of the broker that it stops.
pub(super) struct Shutdown {
    pub(super) signals: Signals,
    pub(super) stop_serving: watch::Sender<bool>,
    pub(super) engine: Arc<Engine>,
    pub(super) draining: Draining,
}

impl Shutdown {
    /// At a signal: fails readiness, waits for the grace period, stops listening, and waits for requests and work in
    /// progress. A worker that ends by itself also stops the broker: only a new process can help.
    pub(super) async fn run(mut self, mut worker: JoinHandle<()>) -> anyhow::Result<()> {
        tokio::select! {
            () = self.signals.next() => {}
            ended = &mut worker => return Err(self.worker_ended(ended)),
        }
        let grace = self.draining.begin();
        tracing::info!(?grace, "stopping: not ready; another signal ends the grace period");
        tokio::select! {
            () = sleep(grace) => {}
            () = self.signals.next() => {}
            ended = &mut worker => return Err(self.worker_ended(ended)),
        }
        tracing::info!("stopping: requests and work in progress may finish");
        self.engine.stop_worker();
        self.stop_serving.send_replace(true);
        if timeout(DRAIN_TIMEOUT, &mut worker).await.is_err() {
            worker.abort();
            tracing::warn!("work in progress did not finish: it is due again when its claim ends");
        }
        Ok(())
    }

    fn worker_ended(&self, ended: Result<(), JoinError>) -> anyhow::Error {
        self.draining.begin();
        self.stop_serving.send_replace(true);
        let reason = ended.err().map_or_else(|| "without a reason".to_owned(), |error| error.to_string());
        tracing::error!(reason, "the worker has ended: the broker stops");
        anyhow::anyhow!("the worker has ended: {reason}")
    }
}
