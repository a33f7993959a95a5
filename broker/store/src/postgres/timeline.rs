//! How does a timeline grow, and how is it read back?

use domain::NewEvent;
use protocol::{EventKind, GrantId, TimelineEvent, Timestamp};
use sqlx::{Connection, PgConnection};

use super::characters;
use super::written::Events;
use crate::StoreError;
use crate::chain::{self, Chained, LastRow};
use crate::columns::Columns;
use crate::faults::corrupt;

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
    let told = chain::chain(grant, LastRow::read(&row)?.as_ref(), events)?;
    if told.is_empty() {
        return Ok(transaction.rollback().await?);
    }
    write(&mut transaction, grant, told).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn add_retry(
    connection: &mut PgConnection,
    grant: &GrantId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    // The lock first: the next statement sees every row that was written under it before.
    let row = sqlx::query(
        "SELECT n, last_seq AS seq, last_hash AS hash FROM grants WHERE id = $1 FOR NO KEY UPDATE",
    )
    .bind(grant.as_str())
    .fetch_optional(&mut *transaction)
    .await?;
    let row = row.ok_or_else(|| corrupt("a retry for a timeline", format!("there is no grant `{grant}`")))?;
    let told = sqlx::query("SELECT count(*) AS retries FROM events WHERE grant_n = $1 AND kind = $2")
        .bind(row.number("n")?)
        .bind(EventKind::Retry.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    let Some(event) = chain::retry(now, chain::retries(&told)?) else {
        return Ok(transaction.rollback().await?);
    };
    let told = chain::chain(grant, LastRow::read(&row)?.as_ref(), &[event])?;
    write(&mut transaction, grant, told).await?;
    transaction.commit().await?;
    Ok(())
}

/// Behind the last row, which the caller has locked.
async fn write(connection: &mut PgConnection, grant: &GrantId, told: Vec<Chained>) -> Result<(), StoreError> {
    let last = chain::last_of(&told, None);
    let events = Events::of(told);
    let query = sqlx::query(
        "WITH changed AS (UPDATE grants SET last_seq = $2, last_hash = $3 WHERE id = $1 RETURNING n)
         INSERT INTO events (grant_n, seq, at, kind, source, text, data, prev_hash, hash)
        SELECT n, new.* FROM changed, unnest($4::BIGINT[], $5::BIGINT[], $6::TEXT[],
            $7::TEXT[], $8::TEXT[], $9::TEXT[], $10::TEXT[], $11::TEXT[]) AS new",
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
        "SELECT seq, at, kind, source, text, data, prev_hash, hash FROM events
         WHERE grant_n = (SELECT n FROM grants WHERE id = $1) ORDER BY seq",
    )
    .bind(grant.as_str())
    .fetch_all(connection)
    .await?;
    found.iter().map(|row| chain::event(row, grant, characters::read(row.text("text")?))).collect()
}
