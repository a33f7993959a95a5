//! Stores what other systems say about subjects.

use protocol::Timestamp;
use protocol::posture::PostureOutcome;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::marks;
use crate::columns::Columns;
use crate::{PostureListing, PostureStatement, StoreError, StoredPosture, context_rows, posture};

pub(super) async fn put(
    connection: &mut SqliteConnection,
    new: PostureStatement,
    now: Timestamp,
) -> Result<PostureOutcome, StoreError> {
    let row = sqlx::query(
        "SELECT source, subject, ok, as_of, expires_at, received_at FROM posture WHERE subject = ?1 AND source = ?2",
    )
    .bind(&new.subject)
    .bind(&new.source)
    .fetch_optional(&mut *connection)
    .await?;
    let before = row.map(|row| context_rows::posture(&row, row.text("subject")?.to_owned())).transpose()?;
    let outcome = posture::outcome(before.as_ref().map(|before| &before.statement), &new, now);
    if outcome == PostureOutcome::Older || before.is_some_and(|before| before.statement == new) {
        return Ok(outcome);
    }
    sqlx::query(
        "UPDATE meta SET posture_seq = posture_seq + 1;
         INSERT INTO posture (subject, source, ok, as_of, expires_at, received_at, seq)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, posture_seq FROM meta WHERE true
         ON CONFLICT DO UPDATE SET ok = excluded.ok, as_of = excluded.as_of, expires_at = excluded.expires_at,
                                   received_at = excluded.received_at, seq = excluded.seq",
    )
    .bind(&new.subject)
    .bind(&new.source)
    .bind(new.ok)
    .bind(new.as_of.as_millis())
    .bind(new.expires_at.as_millis())
    .bind(now.as_millis())
    .execute(&mut *connection)
    .await?;
    if outcome == PostureOutcome::Changed {
        marks::of_subject(connection, &new.subject, now).await?;
    }
    Ok(outcome)
}

/// The request of a listing, with values of its own.
pub(super) struct Wanted {
    source: Option<String>,
    after: Option<(String, String)>,
    limit: u32,
}

impl From<PostureListing<'_>> for Wanted {
    fn from(listing: PostureListing<'_>) -> Self {
        Self {
            source: listing.source.map(str::to_owned),
            after: listing.after.map(|(source, subject)| (source.to_owned(), subject.to_owned())),
            limit: listing.limit,
        }
    }
}

fn query(wanted: Wanted) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT source, subject, ok, as_of, expires_at, received_at FROM posture WHERE true",
    );
    if let Some(source) = wanted.source {
        query.push(" AND source = ").push_bind(source);
    }
    if let Some((source, subject)) = wanted.after {
        query.push(" AND (source, subject) > (").push_bind(source).push(", ").push_bind(subject).push(")");
    }
    query.push(" ORDER BY source, subject LIMIT ").push_bind(wanted.limit);
    query
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    wanted: Wanted,
) -> Result<Vec<StoredPosture>, StoreError> {
    let rows = query(wanted).build().fetch_all(connection).await?;
    rows.iter().map(|row| context_rows::posture(row, row.text("subject")?.to_owned())).collect()
}
