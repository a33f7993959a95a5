//! Counters of accepted, refused and evicted connections, with rate-limited log lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::table::Source;

/// At most one log line for each reason in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    /// Its network is at its cap.
    NetworkFull,
    /// The broker is at the cap for all connections.
    AllFull,
    /// The process or the machine is out of files or socket memory.
    Exhausted,
}

impl RefusalReason {
    /// The value of the label `reason` of the metric.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NetworkFull => "network_full",
            Self::AllFull => "all_full",
            Self::Exhausted => "exhausted",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::NetworkFull => "`limits.connections_per_network`; for a proxy `limits.trusted_proxies`",
            Self::AllFull => "`limits.connections`, and the limit of open files (RLIMIT_NOFILE)",
            Self::Exhausted => "the limit of open files (RLIMIT_NOFILE)",
        }
    }
}

/// A counter, and when it was last logged.
#[derive(Default)]
struct Count {
    total: AtomicU64,
    logged: Mutex<LastLogged>,
}

#[derive(Default)]
struct LastLogged {
    at: Option<Instant>,
    total: u64,
}

impl Count {
    /// Increments the counter. If a log line is due: the increments since the last line.
    fn increment(&self) -> Option<u64> {
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.at.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            return None;
        }
        let since = total.saturating_sub(logged.total);
        *logged = LastLogged { at: Some(Instant::now()), total };
        Some(since)
    }

    fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// Counters since the start.
#[derive(Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    evicted: Count,
    network_full: Count,
    all_full: Count,
    exhausted: Count,
}

impl Counts {
    pub(crate) fn total_accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn total_evicted(&self) -> u64 {
        self.evicted.total()
    }

    pub(crate) fn total_refused(&self) -> [(RefusalReason, u64); 3] {
        [RefusalReason::NetworkFull, RefusalReason::AllFull, RefusalReason::Exhausted]
            .map(|why| (why, self.refusals(why).total()))
    }

    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was closed for one of this source.
    pub(super) fn evicted(&self, why: RefusalReason, source: Source) {
        if let Some(closed) = self.evicted.increment() {
            let (reason, hint) = (why.as_str(), why.hint());
            tracing::warn!(reason, closed, ?source, hint, "waiting connections are closed to make room");
        }
    }

    /// Counts a connection that was closed because the process is out of files; [`Self::not_accepted`] logs it.
    pub(super) fn shed(&self) {
        self.evicted.total.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: RefusalReason, source: Source) {
        if let Some(refused) = self.refusals(why).increment() {
            let (reason, hint) = (why.as_str(), why.hint());
            tracing::warn!(reason, refused, ?source, hint, "connections were refused");
        }
    }

    /// Counts and logs a failed `accept`.
    pub(super) fn not_accepted(&self, name: &str, error: &std::io::Error) {
        if let Some(times) = self.exhausted.increment() {
            let hint = RefusalReason::Exhausted.hint();
            tracing::error!(name, %error, times, hint, "connections cannot be accepted");
        }
    }

    fn refusals(&self, why: RefusalReason) -> &Count {
        match why {
            RefusalReason::NetworkFull => &self.network_full,
            RefusalReason::AllFull => &self.all_full,
            RefusalReason::Exhausted => &self.exhausted,
        }
    }
}
