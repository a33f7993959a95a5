//! The slot of one connection: its deadline, and whether it waits for its peer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::admission::Admission;
use super::table::Source;

/// Time limit of the TLS handshake, and of the head of the first request.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of a request. Higher than the time limit of its handling, which answers first.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// State that the table of connections shares with the connection.
pub(crate) struct Entry {
    state: Mutex<EntryState>,
    /// Notified when the connection must close, or its deadline became earlier.
    changed: Notify,
}

struct EntryState {
    deadline: Instant,
    /// Position in the queue of connections that wait for their peers; `None` while the broker handles a request.
    position: Option<u64>,
    is_closing: bool,
}

impl Entry {
    pub(super) fn new() -> Arc<Self> {
        let state =
            EntryState { deadline: Instant::now() + OPENING_TIMEOUT, position: None, is_closing: false };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Sets the position; returns the one before.
    pub(super) fn set_position(&self, position: Option<u64>) -> Option<u64> {
        std::mem::replace(&mut self.state().position, position)
    }

    pub(super) fn mark_closing(&self) {
        self.state().is_closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    /// Wakes the connection, which then closes.
    pub(super) fn close(&self) {
        self.changed.notify_one();
    }

    fn set_deadline(&self, deadline: Instant) {
        let before = std::mem::replace(&mut self.state().deadline, deadline);
        // The connection reads a later deadline when the earlier one passes.
        if deadline < before {
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counted connection, until this is dropped. It waits for its peer, unless the broker handles a request of it.
pub(crate) struct Slot {
    admission: Arc<Admission>,
    source: Source,
    entry: Arc<Entry>,
}

impl Slot {
    pub(super) fn new(admission: Arc<Admission>, source: Source, entry: Arc<Entry>) -> Self {
        Self { admission, source, entry }
    }

    /// Starts the time limit of the head of the first request, after the handshake.
    pub(super) fn handshake_done(&self) {
        self.entry.set_deadline(Instant::now() + OPENING_TIMEOUT);
    }

    /// Starts the time limit of a request, whose head was received.
    pub(super) fn request_received(&self) {
        let deadline = self.entry.state().deadline;
        self.entry.set_deadline(deadline.max(Instant::now() + REQUEST_TIMEOUT));
        self.work();
    }

    /// Starts the idle time, in which the peer reads the response and sends the next request.
    pub(super) fn answered(&self) {
        self.entry.set_deadline(Instant::now() + self.admission.config().idle);
        self.wait();
    }

    /// Marks the connection as waiting for the body, until the guard is dropped.
    pub(crate) fn waiting_for_body(&self) -> WaitingForBody<'_> {
        self.wait();
        WaitingForBody(self)
    }

    /// Returns when the connection must close: its deadline passed, or it was evicted.
    pub(super) async fn ended(&self) {
        loop {
            let (deadline, is_closing) = {
                let state = self.entry.state();
                (state.deadline, state.is_closing)
            };
            if is_closing || deadline <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(deadline) => {}
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
        self.admission.release(self.source, &self.entry);
    }
}

/// The connection waits for the body of a request.
pub(crate) struct WaitingForBody<'a>(&'a Slot);

impl Drop for WaitingForBody<'_> {
    fn drop(&mut self) {
        self.0.work();
    }
}
