//! Since when can beats be heard without a break?
//!
//! A beat is written down or it was not heard. While the database is away nobody is, and whoever was kept from beating
//! like that is not silent: once the database is back, every holder has the whole time of its lease again. The same holds
//! while the broker cannot accept connections.

use std::sync::atomic::{AtomicI64, Ordering};

use protocol::Timestamp;

/// The beginning of the time in which beats were heard.
pub(crate) struct Hearing(AtomicI64);

impl Hearing {
    pub(crate) fn since(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_millis()))
    }

    /// Until now no heartbeat could arrive: the database did not answer, no connection could be accepted, or this process
    /// did not run.
    pub(crate) fn was_deaf(&self, now: Timestamp) {
        self.0.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    pub(crate) fn began(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}
