//! What if every question goes to another broker than the one before?

use std::sync::atomic::{AtomicBool, Ordering};

use store::Postgres;
use testkit::decorate_store;

/// Two brokers' stores on one database, asked in turn.
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
