//! Stores what other systems say about subjects.

use protocol::Timestamp;
use protocol::posture::PostureOutcome;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Postgres, QueryBuilder};

use super::{marks, nul_escaping};
use crate::columns::Columns;
use crate::{PostureListing, PostureStatement, StoreError, StoredPosture, context_rows, posture};

/// The first lock gives statements one order, in which their numbers grow. The second waits for grants whose decision
/// depends on the subject, so that they are marked; grants that come later see the new number.
const LOCK: &str = "SELECT pg_advisory_xact_lock(3, 0), pg_advisory_xact_lock(2, hashtext($1))";

pub(super) async fn put(
    connection: &mut PgConnection,
    new: &PostureStatement,
    now: Timestamp,
) -> Result<PostureOutcome, StoreError> {
    let subject = nul_escaping::escaped(&new.subject).into_owned();
    let mut transaction = connection.begin().await?;
    sqlx::query(LOCK).bind(&subject).execute(&mut *transaction).await?;
    let row = sqlx::query(
        "SELECT source, subject, ok, as_of, expires_at, received_at FROM posture WHERE subject = $1 AND source = $2",
    )
    .bind(&subject)
    .bind(&new.source)
    .fetch_optional(&mut *transaction)
    .await?;
    let before = row.as_ref().map(stored).transpose()?;
    let outcome = posture::outcome(before.as_ref().map(|before| &before.statement), new, now);
    if outcome == PostureOutcome::Older || before.is_some_and(|before| before.statement == *new) {
        transaction.rollback().await?;
        return Ok(outcome);
    }
    sqlx::query(
        "INSERT INTO posture (subject, source, ok, as_of, expires_at, received_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (subject, source) DO UPDATE
             SET ok = excluded.ok, as_of = excluded.as_of, expires_at = excluded.expires_at,
                 received_at = excluded.received_at, seq = DEFAULT",
    )
    .bind(&subject)
    .bind(&new.source)
    .bind(i64::from(new.ok))
    .bind(new.as_of.as_millis())
    .bind(new.expires_at.as_millis())
    .bind(now.as_millis())
    .execute(&mut *transaction)
    .await?;
    if outcome == PostureOutcome::Changed {
        marks::of_subject(&mut transaction, &new.subject, now).await?;
    }
    transaction.commit().await?;
    Ok(outcome)
}

fn stored(row: &PgRow) -> Result<StoredPosture, StoreError> {
    context_rows::posture(row, nul_escaping::unescaped(row.text("subject")?))
}

fn query(listing: &PostureListing<'_>) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT source, subject, ok, as_of, expires_at, received_at FROM posture WHERE true",
    );
    if let Some(source) = listing.source {
        query.push(" AND source = ").push_bind(source.to_owned());
    }
    if let Some((source, subject)) = listing.after {
        query.push(" AND (source, subject) > (").push_bind(source.to_owned()).push(", ");
        query.push_bind(nul_escaping::escaped(subject).into_owned()).push(")");
    }
    query.push(" ORDER BY source, subject LIMIT ").push_bind(i64::from(listing.limit));
    query
}

pub(super) async fn list(
    connection: &mut PgConnection,
    listing: &PostureListing<'_>,
) -> Result<Vec<StoredPosture>, StoreError> {
    let rows = query(listing).build().fetch_all(connection).await?;
    rows.iter().map(stored).collect()
}
