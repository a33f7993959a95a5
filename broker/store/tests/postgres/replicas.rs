//! Sends every call to another broker's store than the call before.

use std::sync::atomic::{AtomicBool, Ordering};

use store::Postgres;
use testkit::decorate_store;

/// Two brokers' stores on one database, used in turn.
pub(crate) struct Replicas {
    both: [Postgres; 2],
    second: AtomicBool,
}

decorate_store!(Replicas, next);

impl Replicas {
    pub(crate) fn new(one: Postgres, other: Postgres) -> Self {
        Self { both: [one, other], second: AtomicBool::new(false) }
    }

    fn next(&self) -> &Postgres {
        &self.both[usize::from(self.second.fetch_xor(true, Ordering::Relaxed))]
    }
}
