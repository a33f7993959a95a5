//! Whose turn is it? Tasks stand still at boundaries until they are told to go on, one at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

/// Everybody who stands still at a boundary, in the order in which they came.
#[derive(Default)]
pub(crate) struct Turns {
    waiting: Mutex<Vec<(usize, oneshot::Sender<()>)>>,
    working: AtomicUsize,
}

/// More than it takes a task that ended to be noticed by whoever waits for whoever waits for it.
const YIELDS: usize = 5;

impl Turns {
    pub(super) async fn wait(&self, broker: usize) {
        let (go_on, going_on) = oneshot::channel();
        self.waiting.lock().unwrap().push((broker, go_on));
        // Never told to go on: the broker died, and so does this task.
        let _ = going_on.await;
    }

    pub(super) fn working(&self) -> Working<'_> {
        self.working.fetch_add(1, Ordering::SeqCst);
        Working(self)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().unwrap().len()
    }

    /// Whoever came n-th goes on.
    pub(crate) fn let_go_on(&self, n: usize) {
        let (_, go_on) = self.waiting.lock().unwrap().remove(n);
        go_on.send(()).unwrap();
    }

    /// A broker died, and its tasks with it.
    pub(crate) fn forget(&self, broker: usize) {
        self.waiting.lock().unwrap().retain(|(whose, _)| *whose != broker);
    }

    /// Until every task stands still or sleeps. Never idle meanwhile: a runtime that is idle lets time pass.
    pub(crate) async fn quiet(&self) {
        let mut yields = 0;
        while yields < YIELDS {
            tokio::task::yield_now().await;
            if self.working.load(Ordering::SeqCst) == 0 {
                yields += 1;
            } else {
                yields = 0;
                std::thread::yield_now();
            }
        }
    }
}

pub(super) struct Working<'t>(&'t Turns);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::SeqCst);
    }
}
