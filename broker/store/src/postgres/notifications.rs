//! Stores notifications.

use async_trait::async_trait;
use domain::notification::bundle_of;
use protocol::Timestamp;
use protocol::notifications::{Notification, NotificationStatus};
use sqlx::{Connection, PgConnection};

use super::Postgres;
use crate::columns::Columns;
use crate::notifications::{body, forget_after, stored};
use crate::{EventPosition, NotificationChange, NotificationListing, Notifications, StoreError};

/// What a consumer made of events.
struct Advance<'a> {
    consumer: &'a str,
    from: EventPosition,
    to: EventPosition,
    changes: &'a [NotificationChange],
}

#[async_trait]
impl Notifications for Postgres {
    async fn position_of(&self, consumer: &str) -> Result<EventPosition, StoreError> {
        self.run(consumer, |connection, consumer| Box::pin(position_of(connection, consumer))).await
    }

    async fn advance(
        &self,
        consumer: &str,
        from: EventPosition,
        to: EventPosition,
        changes: &[NotificationChange],
    ) -> Result<bool, StoreError> {
        let all = Advance { consumer, from, to, changes };
        self.run(all, |connection, all| Box::pin(advance(connection, all))).await
    }

    async fn change_notification(&self, change: &NotificationChange) -> Result<bool, StoreError> {
        self.run(change, |connection, change| Box::pin(write(connection, change))).await
    }

    async fn due_notifications(&self, now: Timestamp, limit: u32) -> Result<Vec<Notification>, StoreError> {
        self.run((now, limit), |connection, (now, limit)| Box::pin(due(connection, *now, *limit))).await
    }

    async fn last_notification(&self, bundle: &str) -> Result<Option<Notification>, StoreError> {
        self.run(bundle, |connection, bundle| Box::pin(last(connection, bundle))).await
    }

    async fn notifications(&self, listing: &NotificationListing) -> Result<Vec<Notification>, StoreError> {
        self.run(listing, |connection, listing| Box::pin(list(connection, listing))).await
    }
}

async fn position_of(connection: &mut PgConnection, consumer: &str) -> Result<EventPosition, StoreError> {
    let row = sqlx::query("SELECT position FROM event_consumers WHERE name = $1")
        .bind(consumer)
        .fetch_optional(connection)
        .await?;
    let number = row.map(|row| row.number("position")).transpose()?;
    Ok(number.map_or(EventPosition::START, EventPosition::from_number))
}

async fn advance(connection: &mut PgConnection, all: &Advance<'_>) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    let moved = sqlx::query(
        "INSERT INTO event_consumers AS known (name, position) VALUES ($1, $3)
         ON CONFLICT (name) DO UPDATE SET position = $3 WHERE known.position = $2",
    )
    .bind(all.consumer)
    .bind(all.from.as_number())
    .bind(all.to.as_number())
    .execute(&mut *transaction)
    .await?;
    let mut done = moved.rows_affected() > 0;
    for change in all.changes {
        done = done && write(&mut transaction, change).await?;
    }
    if done {
        transaction.commit().await?
    } else {
        transaction.rollback().await?
    }
    Ok(done)
}

async fn write(connection: &mut PgConnection, change: &NotificationChange) -> Result<bool, StoreError> {
    let NotificationChange { before, after } = change;
    let text = match before {
        None => {
            "INSERT INTO notifications (id, bundle, status, due_at, next_attempt_at, forget_after, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        }
        Some(_) => {
            "UPDATE notifications SET bundle = $2, status = $3, due_at = $4, next_attempt_at = $5, forget_after = $6,
             body = $7 WHERE id = $1 AND body = $8"
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
    connection: &mut PgConnection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Notification>, StoreError> {
    let rows = sqlx::query(
        "SELECT body FROM notifications WHERE next_attempt_at <= $1 ORDER BY next_attempt_at, id LIMIT $2",
    )
    .bind(now.as_millis())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(stored).collect()
}

async fn last(connection: &mut PgConnection, bundle: &str) -> Result<Option<Notification>, StoreError> {
    let row =
        sqlx::query("SELECT body FROM notifications WHERE bundle = $1 ORDER BY due_at DESC, id DESC LIMIT 1")
            .bind(bundle)
            .fetch_optional(connection)
            .await?;
    row.as_ref().map(stored).transpose()
}

async fn list(
    connection: &mut PgConnection,
    listing: &NotificationListing,
) -> Result<Vec<Notification>, StoreError> {
    let rows = sqlx::query(
        "SELECT body FROM notifications WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3",
    )
    .bind(listing.status.map(NotificationStatus::as_str))
    .bind(listing.after.as_ref().map(protocol::NotificationId::as_str))
    .bind(i64::from(listing.limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(stored).collect()
}
