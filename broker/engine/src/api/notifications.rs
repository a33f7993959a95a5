//! Lists notifications.

use protocol::notifications::{NotificationList, NotificationStatus};
use protocol::{NotificationId, Secret};
use store::NotificationListing;

use super::Page;
use super::seen::Seen;
use crate::{Engine, Refusal};

impl Engine {
    /// A page of notifications, newest first: those about agents that the caller may see.
    pub async fn notifications(
        &self,
        bearer: Option<&Secret>,
        status: Option<NotificationStatus>,
        mut after: Option<NotificationId>,
        page: Page,
    ) -> Result<NotificationList, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let mut notifications = Vec::new();
        let mut seen = Seen::by(&caller, self);
        loop {
            let listing = NotificationListing { status, after, limit: page.rows() };
            let found = self.store.notifications(&listing).await?;
            let is_last_page = found.len() < page.rows() as usize;
            after = found.last().map(|last| last.id.clone());
            for notification in found {
                let id = notification.id.clone();
                if seen.includes(&notification.agent_id).await {
                    notifications.push(notification);
                }
                if notifications.len() == page.rows() as usize {
                    return Ok(NotificationList { notifications, next: Some(id) });
                }
            }
            if is_last_page {
                return Ok(NotificationList { notifications, next: None });
            }
        }
    }
}
