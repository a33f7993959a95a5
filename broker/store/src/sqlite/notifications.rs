//! Stores notifications.

use async_trait::async_trait;
use domain::notification::bundle_of;
use protocol::Timestamp;
use protocol::notifications::{Notification, NotificationStatus};
use sqlx::SqliteConnection;

use super::Sqlite;
use crate::columns::Columns;
use crate::notifications::{body, forget_after, stored};
use crate::{EventPosition, NotificationChange, NotificationListing, Notifications, StoreError};

#[async_trait]
impl Notifications for Sqlite {
    async fn position_of(&self, consumer: &str) -> Result<EventPosition, StoreError> {
        let consumer = consumer.to_owned();
        self.read(move |connection| Box::pin(position_of(connection, consumer))).await
    }

    async fn advance(
        &self,
        consumer: &str,
        from: EventPosition,
        to: EventPosition,
        changes: &[NotificationChange],
    ) -> Result<bool, StoreError> {
        let (consumer, changes) = (consumer.to_owned(), changes.to_vec());
        self.write(move |connection| Box::pin(advance(connection, consumer, from, to, changes))).await
    }

    async fn change_notification(&self, change: &NotificationChange) -> Result<bool, StoreError> {
        let change = change.clone();
        self.write(move |connection| Box::pin(async move { write(connection, &change).await })).await
    }

    async fn due_notifications(&self, now: Timestamp, limit: u32) -> Result<Vec<Notification>, StoreError> {
        self.read(move |connection| Box::pin(due(connection, now, limit))).await
    }

    async fn last_notification(&self, bundle: &str) -> Result<Option<Notification>, StoreError> {
        let bundle = bundle.to_owned();
        self.read(move |connection| Box::pin(last(connection, bundle))).await
    }

    async fn notifications(&self, listing: &NotificationListing) -> Result<Vec<Notification>, StoreError> {
        let listing = listing.clone();
        self.read(move |connection| Box::pin(list(connection, listing))).await
    }
}

async fn position_of(
    connection: &mut SqliteConnection,
    consumer: String,
) -> Result<EventPosition, StoreError> {
    let row = sqlx::query("SELECT position FROM event_consumers WHERE name = ?1")
        .bind(consumer)
        .fetch_optional(connection)
        .await?;
    let number = row.map(|row| row.number("position")).transpose()?;
    Ok(number.map_or(EventPosition::START, EventPosition::from_number))
}

/// Checks before it writes: the one writer runs nothing in between.
async fn advance(
    connection: &mut SqliteConnection,
    consumer: String,
    from: EventPosition,
    to: EventPosition,
    changes: Vec<NotificationChange>,
) -> Result<bool, StoreError> {
    for before in changes.iter().filter_map(|change| change.before.as_ref()) {
        let same = sqlx::query("SELECT 1 FROM notifications WHERE id = ?1 AND body = ?2")
            .bind(before.id.as_str())
            .bind(body(before)?)
            .fetch_optional(&mut *connection)
            .await?;
        if same.is_none() {
            return Ok(false);
        }
    }
    let moved = sqlx::query(
        "INSERT INTO event_consumers (name, position) VALUES (?1, ?3)
         ON CONFLICT (name) DO UPDATE SET position = ?3 WHERE position = ?2",
    )
    .bind(consumer)
    .bind(from.as_number())
    .bind(to.as_number())
    .execute(&mut *connection)
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(false);
    }
    for change in &changes {
        write(connection, change).await?;
    }
    Ok(true)
}

async fn write(connection: &mut SqliteConnection, change: &NotificationChange) -> Result<bool, StoreError> {
    let NotificationChange { before, after } = change;
    let text = match before {
        None => {
            "INSERT INTO notifications (id, bundle, status, due_at, next_attempt_at, forget_after, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        }
        Some(_) => {
            "UPDATE notifications SET bundle = ?2, status = ?3, due_at = ?4, next_attempt_at = ?5, forget_after = ?6,
             body = ?7 WHERE id = ?1 AND body = ?8"
        }
    };
    let query = sqlx::query(text)
        .bind(after.id.as_str())
        .bind(bundle_of(after))
        .bind(after.status.as_str())
        .bind(after.due_at.as_millis())
        .bind(after.next_attempt_at.map(Timestamp::as_millis))
        .bind(forget_after(after).map(Timestamp::as_millis))
        .bind(body(after)?);
    let query = match before {
        None => query,
        Some(before) => query.bind(body(before)?),
    };
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

async fn due(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Notification>, StoreError> {
    let rows = sqlx::query(
        "SELECT body FROM notifications WHERE next_attempt_at <= ?1 ORDER BY next_attempt_at, id LIMIT ?2",
    )
    .bind(now.as_millis())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(stored).collect()
}

async fn last(connection: &mut SqliteConnection, bundle: String) -> Result<Option<Notification>, StoreError> {
    let row =
        sqlx::query("SELECT body FROM notifications WHERE bundle = ?1 ORDER BY due_at DESC, id DESC LIMIT 1")
            .bind(bundle)
            .fetch_optional(connection)
            .await?;
    row.as_ref().map(stored).transpose()
}

async fn list(
    connection: &mut SqliteConnection,
    listing: NotificationListing,
) -> Result<Vec<Notification>, StoreError> {
    let rows = sqlx::query(
        "SELECT body FROM notifications WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR id < ?2)
         ORDER BY id DESC LIMIT ?3",
    )
    .bind(listing.status.map(NotificationStatus::as_str))
    .bind(listing.after.map(String::from))
    .bind(listing.limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(stored).collect()
}
