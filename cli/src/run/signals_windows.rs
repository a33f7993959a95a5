//! Console events to this process.

use std::io;

use protocol::RevokeCause;
use tokio::sync::mpsc;

use super::parent;

/// Ctrl-C, Ctrl-Break, or the console closing. The step receives it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// 2, as SIGINT: the platform does not report which event it was.
    pub(crate) signal: i32,
}

impl Received {
    /// Always.
    pub(crate) fn asks_to_end(self) -> bool {
        true
    }

    /// Never known.
    pub(crate) fn is_parents_end(self) -> bool {
        false
    }

    /// Why the grant is revoked.
    pub(crate) fn cause(self) -> RevokeCause {
        RevokeCause::Interrupted(self.signal)
    }
}

/// The events that arrive after [`Signals::take`].
pub(crate) struct Signals {
    received: mpsc::UnboundedReceiver<Received>,
}

impl Signals {
    /// Handles the events that would end this process.
    pub(crate) fn take(_parent: parent::Watch) -> io::Result<Self> {
        let (send, received) = mpsc::unbounded_channel();
        ctrlc::set_handler(move || {
            let _ = send.send(Received { signal: 2 });
        })
        .map_err(io::Error::other)?;
        Ok(Self { received })
    }

    /// The next event. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Received {
        match self.received.recv().await {
            Some(received) => received,
            None => std::future::pending().await,
        }
    }

    /// Never known.
    pub(crate) fn interrupt_was_typed(&mut self) -> bool {
        false
    }
}

/// Does nothing: Windows has no such signal.
pub(crate) fn die_of_interrupt() {}
