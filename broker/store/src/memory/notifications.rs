//! Stores notifications.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::notification::bundle_of;
use protocol::notifications::Notification;
use protocol::{NotificationId, Timestamp};

use super::Memory;
use crate::notifications::forget_after;
use crate::{EventPosition, NotificationChange, NotificationListing, Notifications, StoreError};

#[derive(Default)]
pub(super) struct Outbox {
    positions: BTreeMap<String, EventPosition>,
    notifications: BTreeMap<NotificationId, Notification>,
}

impl Outbox {
    fn position_of(&self, consumer: &str) -> EventPosition {
        self.positions.get(consumer).copied().unwrap_or(EventPosition::START)
    }

    fn is_as_before(&self, change: &NotificationChange) -> bool {
        self.notifications.get(&change.after.id) == change.before.as_ref()
    }

    fn write(&mut self, changes: &[NotificationChange]) -> bool {
        let as_before = changes.iter().all(|change| self.is_as_before(change));
        if as_before {
            let after = changes.iter().map(|change| (change.after.id.clone(), change.after.clone()));
            self.notifications.extend(after);
        }
        as_before
    }

    pub(super) fn purge(&mut self, now: Timestamp) {
        self.notifications.retain(|_, one| forget_after(one).is_none_or(|end| now < end));
    }
}

#[async_trait]
impl Notifications for Memory {
    async fn position_of(&self, consumer: &str) -> Result<EventPosition, StoreError> {
        Ok(self.kept().outbox.position_of(consumer))
    }

    async fn advance(
        &self,
        consumer: &str,
        from: EventPosition,
        to: EventPosition,
        changes: &[NotificationChange],
    ) -> Result<bool, StoreError> {
        let outbox = &mut self.kept().outbox;
        let moves = outbox.position_of(consumer) == from && outbox.write(changes);
        if moves {
            outbox.positions.insert(consumer.to_owned(), to);
        }
        Ok(moves)
    }

    async fn change_notification(&self, change: &NotificationChange) -> Result<bool, StoreError> {
        Ok(self.kept().outbox.write(std::slice::from_ref(change)))
    }

    async fn due_notifications(&self, now: Timestamp, limit: u32) -> Result<Vec<Notification>, StoreError> {
        let kept = self.kept();
        let due_at = |one: &&Notification| one.next_attempt_at.is_some_and(|at| at <= now);
        let mut due: Vec<_> = kept.outbox.notifications.values().filter(due_at).cloned().collect();
        due.sort_by_key(|one| (one.next_attempt_at, one.id.clone()));
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn last_notification(&self, bundle: &str) -> Result<Option<Notification>, StoreError> {
        let kept = self.kept();
        let of_bundle = kept.outbox.notifications.values().filter(|one| bundle_of(one) == bundle);
        Ok(of_bundle.max_by_key(|one| (one.due_at, one.id.clone())).cloned())
    }

    async fn notifications(&self, listing: &NotificationListing) -> Result<Vec<Notification>, StoreError> {
        let kept = self.kept();
        let is_listed = |one: &&Notification| {
            listing.status.is_none_or(|status| one.status == status)
                && listing.after.as_ref().is_none_or(|after| one.id < *after)
        };
        let newest_first = kept.outbox.notifications.values().rev();
        Ok(newest_first.filter(is_listed).take(listing.limit as usize).cloned().collect())
    }
}
