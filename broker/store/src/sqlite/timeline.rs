//! Appends events to timelines, and reads them.

use domain::NewEvent;
use protocol::{EventKind, GrantId, TimelineEvent, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::batch::Change;
use crate::chain::{self, Chained, LastRow};
use crate::columns::Columns;
use crate::error::corrupt;
use crate::{EventFilter, EventPosition, PositionedEvent, StoreError};

/// SQLite takes 32766 values in one statement, and a row has nine.
const ROWS: usize = 1000;

/// Adds the statement that appends events, if the grant exists and under a further condition; nothing without events.
/// Returns the last event of the timeline after that.
pub(super) fn push(
    query: &mut QueryBuilder<Sqlite>,
    grant: &GrantId,
    and: &str,
    last: Option<LastRow>,
    events: &[NewEvent],
) -> Result<Option<LastRow>, StoreError> {
    let rows = chain::chain(grant, last.as_ref(), events)?;
    let now_last = chain::last_of(&rows, last);
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        query.push(
            "INSERT INTO events (grant_number, seq, at, kind, source, actor, text, data, prev_hash, hash)
             SELECT number, new.* FROM grants, (",
        );
        query.push_values(rows.by_ref().take(ROWS), |mut values, Chained { row, actor, data }| {
            values
                .push_bind(row.seq)
                .push_bind(row.at.as_millis())
                .push_bind(row.kind.as_str())
                .push_bind(row.source.as_str())
                .push_bind(actor)
                .push_bind(row.text)
                .push_bind(data)
                .push_bind(row.prev_hash)
                .push_bind(row.hash);
        });
        query.push(") AS new WHERE id = ").push_bind(grant.to_string());
        query.push(and).push("; ");
    }
    Ok(now_last)
}

pub(super) async fn add(
    mut change: Change<'_>,
    grant: GrantId,
    events: Vec<NewEvent>,
) -> Result<(), StoreError> {
    let mut query = change.statement();
    query.push("SELECT seq, hash FROM grants LEFT JOIN events ON grant_number = number WHERE id = ");
    query.push_bind(grant.to_string()).push(" ORDER BY seq DESC LIMIT 1; ");
    let found = change.run(query).await?;
    let row = found
        .first()
        .ok_or_else(|| corrupt("rows for a timeline", format!("there is no grant `{grant}`")))?;
    let mut query = change.statement();
    push(&mut query, &grant, "", LastRow::read(row)?, &events)?;
    change.run_and_commit(query).await?;
    Ok(())
}

pub(super) async fn add_retry(
    mut change: Change<'_>,
    grant: GrantId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut query = change.statement();
    query.push("SELECT seq, hash, (SELECT count(*) FROM events WHERE grant_number = number AND kind = ");
    query.push_bind(EventKind::Retry.as_str());
    query.push(") AS retries FROM grants LEFT JOIN events ON grant_number = number WHERE id = ");
    query.push_bind(grant.to_string()).push(" ORDER BY seq DESC LIMIT 1; ");
    let found = change.run(query).await?;
    let row = found
        .first()
        .ok_or_else(|| corrupt("a retry for a timeline", format!("there is no grant `{grant}`")))?;
    let Some(event) = chain::retry(now, chain::retries(row)?) else { return Ok(()) };
    let mut query = change.statement();
    push(&mut query, &grant, "", LastRow::read(row)?, &[event])?;
    change.run_and_commit(query).await?;
    Ok(())
}

pub(super) async fn read(
    connection: &mut SqliteConnection,
    grant: GrantId,
) -> Result<Vec<TimelineEvent>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, at, kind, source, actor, text, data, prev_hash, hash FROM events
         WHERE grant_number = (SELECT number FROM grants WHERE id = ?1) ORDER BY seq",
    )
    .bind(grant.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| chain::event(row, &grant, row.text("text")?.to_owned())).collect()
}

macro_rules! after {
    ($kinds:literal) => {
        concat!(
            "SELECT position, id, seq, at, kind, source, actor, text, data, prev_hash, hash
             FROM events JOIN grants ON number = grant_number
             WHERE position > ?1",
            $kinds,
            " ORDER BY position LIMIT ?2"
        )
    };
}

/// With the condition in the words of the index.
pub(super) fn after_position(which: EventFilter) -> &'static str {
    match which {
        EventFilter::All => after!(""),
        EventFilter::ForPersons => after!(" AND kind IN ('approval', 'break_glass')"),
    }
}

pub(super) async fn after(
    connection: &mut SqliteConnection,
    position: EventPosition,
    which: EventFilter,
    limit: u32,
) -> Result<Vec<PositionedEvent>, StoreError> {
    let rows = sqlx::query(after_position(which))
        .bind(position.as_number())
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| chain::positioned(row, row.text("text")?.to_owned())).collect()
}
