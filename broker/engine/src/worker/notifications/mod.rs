//! Notifies persons of requests that wait: reads the events of all grants, and sends what they ask for.
//!
//! An event is read once, whichever broker reads it first: the notifications that it asks for and the position behind it
//! are one commit. A notification is sent at least once: a broker claims it before it sends it, and the claim of a broker
//! that dies ends. The outbox is the events that are there anyway, so a request that waits costs elevate nothing more.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::Engine;

mod read;
mod send;

/// Notifications that are sent at once.
const MAX_CONCURRENT: usize = 32;

impl Engine {
    /// Until the future is dropped. A notification whose attempt is dropped with it is sent again.
    pub(super) async fn notify_periodically(self: &Arc<Self>, every: Duration) {
        let mut sending = JoinSet::new();
        loop {
            while sending.try_join_next().is_some() {}
            if let Err(error) = self.notify_due(&mut sending).await {
                self.counters.worker_errors();
                tracing::error!(%error, cause = error.cause.as_deref(), "cannot notify persons of requests");
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Reads the new events, sends what is due, and waits for the answers.
    pub async fn notify(self: &Arc<Self>) -> Result<(), crate::Refusal> {
        let mut sending = JoinSet::new();
        self.notify_due(&mut sending).await?;
        while sending.join_next().await.is_some() {}
        Ok(())
    }

    async fn notify_due(self: &Arc<Self>, sending: &mut JoinSet<()>) -> Result<(), crate::Refusal> {
        let channels = self.channels.load_full();
        if !channels.is_empty() {
            self.read_new_events(&channels).await?;
        }
        // Also without a channel: what was for channels that are not there any more is given up.
        let room = MAX_CONCURRENT.saturating_sub(sending.len());
        for claimed in self.claim_notifications(room).await? {
            sending.spawn(Arc::clone(self).send_or_log(claimed));
        }
        Ok(())
    }
}
