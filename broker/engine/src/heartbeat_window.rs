//! The time since when heartbeats can be recorded without a gap.
//!
//! A heartbeat counts when it is recorded. While the database does not answer, or the broker accepts no connections,
//! clients cannot send one, and their leases must not end for that: after such a gap, every lease restarts.

use std::sync::atomic::{AtomicI64, Ordering};

use protocol::Timestamp;

pub(crate) struct HeartbeatWindow(AtomicI64);

impl HeartbeatWindow {
    pub(crate) fn starting(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_millis()))
    }

    /// Starts the window again: until now no heartbeat could be recorded.
    pub(crate) fn reset(&self, now: Timestamp) {
        self.0.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    pub(crate) fn since(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}
