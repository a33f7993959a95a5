//! The calls of a step without a grant: counted while it runs, and reported when it has ended.

use protocol::actions::{Action, MAX_ACTIONS};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Socket;
use super::listener::Listener;

/// The calls while the step runs.
pub(crate) struct ObservedCalls {
    step_ended: oneshot::Sender<()>,
    task: JoinHandle<Listener>,
}

impl Socket {
    /// Counts calls until the step has ended.
    pub(crate) fn count(self) -> ObservedCalls {
        let (step_ended, ended) = oneshot::channel();
        let listener = Listener::new(self.socket, &self.client_id);
        ObservedCalls { step_ended, task: tokio::spawn(count(listener, ended)) }
    }
}

async fn count(mut listener: Listener, mut ended: oneshot::Receiver<()>) -> Listener {
    loop {
        tokio::select! {
            biased;
            _ = &mut ended => break,
            _ = listener.receive() => {}
        }
    }
    listener.drain();
    listener
}

impl ObservedCalls {
    /// The calls of the step, in reports that the broker accepts.
    pub(crate) async fn step_ended(self) -> Vec<Vec<Action>> {
        // An error means that the task has ended, which it does not before this.
        let _ = self.step_ended.send(());
        let Ok(mut listener) = self.task.await else { return Vec::new() };
        let mut reports = Vec::new();
        while !listener.tally.is_reported() {
            let kinds = listener.tally.take_unreported(MAX_ACTIONS);
            reports.push(if kinds.is_empty() { listener.tally.take_all(MAX_ACTIONS) } else { kinds });
        }
        reports
    }
}
