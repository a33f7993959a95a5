//! How many connections were taken, refused and closed for others? Counted always, logged now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::table::Source;

/// A flood of connections is no flood of the log.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Why there is no room for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its network has as many as it may have.
    NetworkFull,
    /// There are as many as there may be.
    AllFull,
    /// The process or the machine is out of files, or of memory for sockets.
    Exhausted,
}

impl Why {
    /// As in the label of the metric.
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

/// One number for each reason, and when it was last logged.
#[derive(Default)]
struct Count {
    total: AtomicU64,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    at: Option<Instant>,
    total: u64,
}

impl Count {
    /// One more. If it is time for a line in the log: how many there were since the last one.
    fn one_more(&self) -> Option<u64> {
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.at.is_some_and(|at| at.elapsed() < SAY_EVERY) {
            return None;
        }
        let since = total.saturating_sub(said.total);
        *said = Said { at: Some(Instant::now()), total };
        Some(since)
    }

    fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// Since the start.
#[derive(Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    made_room: Count,
    network_full: Count,
    all_full: Count,
    exhausted: Count,
}

impl Counts {
    pub(crate) fn total_accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn total_evicted(&self) -> u64 {
        self.made_room.total()
    }

    pub(crate) fn total_refused(&self) -> [(Why, u64); 3] {
        [Why::NetworkFull, Why::AllFull, Why::Exhausted].map(|why| (why, self.refusals(why).total()))
    }

    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is closed for one of this source.
    pub(super) fn made_room(&self, why: Why, source: Source) {
        if let Some(closed) = self.made_room.one_more() {
            let (reason, hint) = (why.as_str(), why.hint());
            tracing::warn!(reason, closed, ?source, hint, "waiting connections are closed to make room");
        }
    }

    /// A connection is closed for want of files, of which [`Self::not_accepted`] says more.
    pub(super) fn shed(&self) {
        self.made_room.total.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: Why, source: Source) {
        if let Some(refused) = self.refusals(why).one_more() {
            let (reason, hint) = (why.as_str(), why.hint());
            tracing::warn!(reason, refused, ?source, hint, "connections are refused");
        }
    }

    /// A connection could not be taken from the operating system.
    pub(super) fn not_accepted(&self, name: &str, error: &std::io::Error) {
        if let Some(times) = self.exhausted.one_more() {
            let hint = Why::Exhausted.hint();
            tracing::error!(name, %error, times, hint, "connections cannot be accepted");
        }
    }

    fn refusals(&self, why: Why) -> &Count {
        match why {
            Why::NetworkFull => &self.network_full,
            Why::AllFull => &self.all_full,
            Why::Exhausted => &self.exhausted,
        }
    }
}
