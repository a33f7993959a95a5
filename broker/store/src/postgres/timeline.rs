//! Appends events to timelines, and reads them.

use domain::NewEvent;
use protocol::{EventKind, GrantId, TimelineEvent, Timestamp};
use sqlx::{Connection, PgConnection};

use super::bind::Events;
use super::nul_escaping;
use crate::StoreError;
use crate::chain::{self, Chained, LastRow};
use crate::columns::Columns;
use crate::error::corrupt;

pub(super) async fn add(
    connection: &mut PgConnection,
    grant: &GrantId,
    events: &[NewEvent],
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    let row =
        sqlx::query("SELECT last_seq AS seq, last_hash AS hash FROM grants WHERE id = $1 FOR NO KEY UPDATE")
            .bind(grant.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
    let row = row.ok_or_else(|| corrupt("rows for a timeline", format!("there is no grant `{grant}`")))?;
    let recorded = chain::chain(grant, LastRow::read(&row)?.as_ref(), events)?;
    if recorded.is_empty() {
        return Ok(transaction.rollback().await?);
    }
    write(&mut transaction, grant, recorded).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn add_retry(
    connection: &mut PgConnection,
    grant: &GrantId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    // The lock comes first: the next statement sees every event that was written under it before.
    let row = sqlx::query(
        "SELECT number, last_seq AS seq, last_hash AS hash FROM grants WHERE id = $1 FOR NO KEY UPDATE",
    )
    .bind(grant.as_str())
    .fetch_optional(&mut *transaction)
    .await?;
    let row = row.ok_or_else(|| corrupt("a retry for a timeline", format!("there is no grant `{grant}`")))?;
    let recorded =
        sqlx::query("SELECT count(*) AS retries FROM events WHERE grant_number = $1 AND kind = $2")
            .bind(row.number("number")?)
            .bind(EventKind::Retry.as_str())
            .fetch_one(&mut *transaction)
            .await?;
    let Some(event) = chain::retry(now, chain::retries(&recorded)?) else {
        return Ok(transaction.rollback().await?);
    };
    let recorded = chain::chain(grant, LastRow::read(&row)?.as_ref(), &[event])?;
    write(&mut transaction, grant, recorded).await?;
    transaction.commit().await?;
    Ok(())
}

/// Appends events to a timeline whose last event the caller has locked.
async fn write(
    connection: &mut PgConnection,
    grant: &GrantId,
    recorded: Vec<Chained>,
) -> Result<(), StoreError> {
    let last = chain::last_of(&recorded, None);
    let events = Events::of(recorded);
    let query = sqlx::query(
        "WITH changed AS (UPDATE grants SET last_seq = $2, last_hash = $3 WHERE id = $1 RETURNING number)
         INSERT INTO events (grant_number, seq, at, kind, source, actor, text, data, prev_hash, hash)
        SELECT number, new.* FROM changed, unnest($4::BIGINT[], $5::BIGINT[], $6::TEXT[], $7::TEXT[], $8::TEXT[],
            $9::TEXT[], $10::TEXT[], $11::TEXT[], $12::TEXT[]) AS new",
    )
    .bind(grant.as_str())
    .bind(last.as_ref().map(|last| i64::from(last.seq)))
    .bind(last.as_ref().map(|last| last.hash.as_str()));
    events.bind(query).execute(connection).await?;
    Ok(())
}

pub(super) async fn read(
    connection: &mut PgConnection,
    grant: &GrantId,
) -> Result<Vec<TimelineEvent>, StoreError> {
    let found = sqlx::query(
        "SELECT seq, at, kind, source, actor, text, data, prev_hash, hash FROM events
         WHERE grant_number = (SELECT number FROM grants WHERE id = $1) ORDER BY seq",
    )
    .bind(grant.as_str())
    .fetch_all(connection)
    .await?;
    found.iter().map(|row| chain::event(row, grant, nul_escaping::unescaped(row.text("text")?))).collect()
}
