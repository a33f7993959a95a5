//! What an operator should look at.

use std::time::Duration;

use protocol::health::{Health, NotificationsHealth, Reconciled};
use protocol::notifications::NotificationStatus;
use protocol::people::Right;
use protocol::{Secret, Timestamp};
use store::{Listing, NotificationListing, Only};

use crate::{Engine, On, Refusal, to_wire};

/// How long after it was due a grant counts as stuck: its end takes some calls.
const LATE: Duration = Duration::from_secs(120);
/// At most so many grants are listed.
const STUCK: u32 = 50;
/// At most so many notifications are counted.
const COUNTED: u32 = 200;

impl Engine {
    /// What an operator should look at, with what the server counts of its files.
    pub async fn health(
        &self,
        bearer: Option<&Secret>,
        rules_folder_refused: bool,
        reload_failures: u64,
    ) -> Result<Health, Refusal> {
        self.actor(bearer, Right::View, On::Broker).await?;
        let now = self.clock.now();
        let only = Some(Only::Stuck(now.minus(LATE)));
        let stuck = Listing { live: Some(true), only, limit: STUCK, ..Listing::default() };
        let stuck = self.store.list(&stuck).await?;
        let grants = self.grants_by_status().await?;
        Ok(Health {
            at: now,
            not_ready: self.ready().await.err().map(|refusal| refusal.detail),
            grants: grants.into_iter().map(|(status, count)| (status.to_owned(), count)).collect(),
            stuck: stuck.iter().map(to_wire::grant).collect(),
            reconciled: self.reconciled.load_full().map(|last| Reconciled::clone(&last)),
            notifications: self.notifications_health(now).await?,
            rules_folder_refused,
            reload_failures,
        })
    }

    async fn notifications_health(&self, now: Timestamp) -> Result<NotificationsHealth, Refusal> {
        let of = async |status| {
            let listing = NotificationListing { status: Some(status), after: None, limit: COUNTED };
            self.store.notifications(&listing).await
        };
        let late: Vec<Timestamp> = of(NotificationStatus::Pending)
            .await?
            .iter()
            .map(|notification| notification.due_at)
            .filter(|due| due.plus(LATE) < now)
            .collect();
        let dead = of(NotificationStatus::Dead).await?.len();
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Ok(NotificationsHealth {
            late: count(late.len()),
            late_since: late.into_iter().min(),
            dead: count(dead),
        })
    }
}
