//! Notifications, and how far the events of all grants have been read for them.

use async_trait::async_trait;
use protocol::notifications::{Notification, NotificationStatus};
use protocol::{NotificationId, Timestamp};

use crate::columns::Columns;
use crate::error::corrupt;
use crate::{EventPosition, StoreError};

/// How long a notification is kept after it was sent or given up.
pub const NOTIFICATIONS_KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);

/// A notification that is new, or replaces the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationChange {
    /// None for a new one.
    pub before: Option<Notification>,
    pub after: Notification,
}

/// Which notifications to list.
#[derive(Debug, Clone, Default)]
pub struct NotificationListing {
    pub status: Option<NotificationStatus>,
    /// Start behind this one, in the order of the listing (newest first).
    pub after: Option<NotificationId>,
    pub limit: u32,
}

/// The outbox of notifications.
#[async_trait]
pub trait Notifications: Send + Sync {
    /// The position up to which a consumer has read the events of all grants.
    async fn position_of(&self, consumer: &str) -> Result<EventPosition, StoreError>;
    /// Moves a consumer on, and stores the notifications that the events ask for. False, with nothing stored, if the
    /// consumer is not at `from` any more, or a notification is not as it was read.
    async fn advance(
        &self,
        consumer: &str,
        from: EventPosition,
        to: EventPosition,
        changes: &[NotificationChange],
    ) -> Result<bool, StoreError>;
    /// False if the notification is not as it was read.
    async fn change_notification(&self, change: &NotificationChange) -> Result<bool, StoreError>;
    /// Pending notifications whose next attempt is due, the longest due first.
    async fn due_notifications(&self, now: Timestamp, limit: u32) -> Result<Vec<Notification>, StoreError>;
    /// The last notification of a bundle ([`domain::notification::bundle_of`]).
    async fn last_notification(&self, bundle: &str) -> Result<Option<Notification>, StoreError>;
    async fn notifications(&self, listing: &NotificationListing) -> Result<Vec<Notification>, StoreError>;
}

/// In JSON, with the same text for the same value: a change compares it.
pub(crate) fn body(notification: &Notification) -> Result<String, StoreError> {
    serde_json::to_string(notification).map_err(|error| corrupt("a notification to be stored", error))
}

/// From a row with `body`.
pub(crate) fn stored(row: &impl Columns) -> Result<Notification, StoreError> {
    serde_json::from_str(row.text("body")?).map_err(|error| corrupt("a notification", error))
}

/// When the notification is forgotten; none while it is pending.
pub(crate) fn forget_after(notification: &Notification) -> Option<Timestamp> {
    notification.settled_at.map(|at| at.plus(NOTIFICATIONS_KEPT_FOR))
}
