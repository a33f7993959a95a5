//! What one connection is doing, and until when it may.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::admission::Admission;
use super::table::Source;

/// How long a TLS handshake may take, and the first request's head after it.
const OPENING: Duration = Duration::from_secs(10);
/// A request is answered long before: it has 30 seconds, ten of them for its body.
const REQUEST: Duration = Duration::from_secs(60);

/// What the table of connections and the connection itself know of it.
pub(crate) struct Entry {
    state: Mutex<State>,
    /// The connection has to end, or earlier than it knew.
    changed: Notify,
}

struct State {
    until: Instant,
    /// Its turn among those that wait for their peers; none while the broker works.
    turn: Option<u64>,
    is_ending: bool,
}

impl Entry {
    pub(super) fn new() -> Arc<Self> {
        let state = State { until: Instant::now() + OPENING, turn: None, is_ending: false };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Sets its turn; the one that it had.
    pub(super) fn take_turn(&self, turn: Option<u64>) -> Option<u64> {
        std::mem::replace(&mut self.state().turn, turn)
    }

    pub(super) fn is_to_end(&self) {
        self.state().is_ending = true;
    }

    pub(super) fn is_ending(&self) -> bool {
        self.state().is_ending
    }

    /// Wakes the connection, which sees that it has to end.
    pub(super) fn end(&self) {
        self.changed.notify_one();
    }

    fn set_until(&self, until: Instant) {
        let before = std::mem::replace(&mut self.state().until, until);
        // A later one is seen when the earlier one has come.
        if until < before {
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is counted as long as this lives. It waits for its peer, unless the broker works for it.
pub(crate) struct Slot {
    admission: Arc<Admission>,
    source: Source,
    entry: Arc<Entry>,
}

impl Slot {
    pub(super) fn new(admission: Arc<Admission>, source: Source, entry: Arc<Entry>) -> Self {
        Self { admission, source, entry }
    }

    /// The handshake is over: the head of the first request has its own time.
    pub(super) fn opened(&self) {
        self.entry.set_until(Instant::now() + OPENING);
    }

    /// A request's head has come.
    pub(super) fn request(&self) {
        let until = self.entry.state().until;
        self.entry.set_until(until.max(Instant::now() + REQUEST));
        self.work();
    }

    /// The answer is ready. The peer has the idle time to take it and to send the next request.
    pub(super) fn answered(&self) {
        self.entry.set_until(Instant::now() + self.admission.terms().idle);
        self.wait();
    }

    /// The request's body is read: until this guard is dropped, the peer is waited for.
    pub(crate) fn reading(&self) -> Reading<'_> {
        self.wait();
        Reading(self)
    }

    /// Returns when the connection has to end: it is too slow, or another needs its slot.
    pub(super) async fn ended(&self) {
        loop {
            let (until, is_ending) = {
                let state = self.entry.state();
                (state.until, state.is_ending)
            };
            if is_ending || until <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.entry.changed.notified() => {}
            }
        }
    }

    fn wait(&self) {
        self.admission.table().wait(self.source, &self.entry);
    }

    fn work(&self) {
        self.admission.table().work(self.source, &self.entry);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.leave(self.source, &self.entry);
    }
}

/// The peer is waited for until the rest of a request has come.
pub(crate) struct Reading<'a>(&'a Slot);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.work();
    }
}
