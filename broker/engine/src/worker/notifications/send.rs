//! Sends the notifications that are due.

use std::sync::Arc;
use std::time::Duration;

use domain::notification::{Attempted, after_attempt, claimed};
use notify::{Channel, NotSent};
use protocol::notifications::{Message, MessageData, Notification, NotificationStatus};
use store::{GrantRecord, NotificationChange};

use super::read::is_needed;
use crate::{Engine, Refusal};

/// How long a broker may send a notification before another one does. Longer than an attempt takes.
const CLAIM: Duration = Duration::from_secs(30);
/// Requests of one message. It says how many there are in all.
const MOST_SHOWN: usize = 20;

impl Engine {
    pub(super) async fn claim_notifications(&self, most: usize) -> Result<Vec<Notification>, Refusal> {
        let now = self.clock.now();
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let mut all = Vec::new();
        for due in self.store.due_notifications(now, most).await? {
            let after = claimed(&due, now.plus(CLAIM));
            let change = NotificationChange { before: Some(due), after: after.clone() };
            if self.store.change_notification(&change).await? {
                all.push(after);
            }
        }
        Ok(all)
    }

    pub(super) async fn send_or_log(self: Arc<Self>, notification: Notification) {
        let id = notification.id.clone();
        if let Err(error) = self.send(notification).await {
            // The claim ends, and the notification is due again.
            self.counters.worker_errors();
            let cause = error.cause.as_deref().unwrap_or_default();
            tracing::error!(notification = %id, %error, cause, "a notification will be tried again");
        }
    }

    async fn send(&self, notification: Notification) -> Result<(), Refusal> {
        let channels = self.channels.load_full();
        let channel = channels.iter().find(|channel| *channel.name() == notification.channel);
        let attempted = match channel {
            Some(channel) => self.attempt(channel, &notification).await?,
            None => Attempted::NoChannel,
        };
        let after = after_attempt(&notification, attempted, self.clock.now());
        self.count_attempt(&after);
        // False: another broker claimed it meanwhile, because this one took too long.
        self.store.change_notification(&NotificationChange { before: Some(notification), after }).await?;
        Ok(())
    }

    async fn attempt(&self, channel: &Channel, notification: &Notification) -> Result<Attempted, Refusal> {
        let Some(message) = self.message(notification).await? else { return Ok(Attempted::NotNeeded) };
        Ok(match channel.send(&notification.id, &message).await {
            Ok(()) => Attempted::Sent,
            Err(NotSent { why, retry_after }) => Attempted::Failed { why, retry_after },
        })
    }

    /// The requests as they are now; none if persons do not need the message any more.
    async fn message(&self, notification: &Notification) -> Result<Option<Message>, Refusal> {
        let now = self.clock.now();
        let mut requests = Vec::new();
        let mut total = 0;
        for request in &notification.requests {
            let found = self.store.grant(&request.grant_id).await?;
            let is_needed = |found: &GrantRecord| is_needed(notification.kind, &found.grant, request, now);
            let Some(record) = found.filter(is_needed) else { continue };
            total += 1;
            if requests.len() < MOST_SHOWN {
                requests.push(self.shown(&record).await?);
            }
        }
        let Notification { kind, agent_id, policies, .. } = notification;
        let (agent_id, policies) = (agent_id.clone(), policies.clone());
        let data = MessageData { agent_id, policies, total, requests };
        Ok((total > 0).then(|| Message { kind: *kind, timestamp: now, data }))
    }

    fn count_attempt(&self, after: &Notification) {
        let (id, channel, error) = (&after.id, &after.channel, after.last_error.as_deref());
        match after.status {
            NotificationStatus::Sent => self.counters.notifications_sent(),
            NotificationStatus::NotNeeded => {}
            NotificationStatus::Pending => {
                self.counters.notification_failures();
                tracing::warn!(notification = %id, %channel, error, "a notification was not accepted");
            }
            NotificationStatus::Dead => {
                self.counters.notifications_dead();
                tracing::error!(notification = %id, %channel, error, "a notification was given up");
            }
        }
    }
}
