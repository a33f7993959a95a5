//! Reads the events of all grants in one order that misses none.
//!
//! An event gets its position when it is inserted, and becomes visible when its transaction commits. So position 7 can be
//! visible while the transaction that has position 6 is still open. A reader that went on from 7 would never see 6.
//!
//! A read without a gap is complete. A gap is a transaction that is open or was rolled back. Each open transaction that
//! has a position also has the lock that every INSERT takes on the table until it ends. So the reader lists the holders
//! of that lock, waits until those have ended, and reads again: every position up to the last one that it saw is
//! decided then. Writers wait for no reader, and pay for one index. A read of some kinds alone has gaps wherever there are
//! others; it is of events that are few.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::nul_escaping;
use crate::columns::Columns;
use crate::{EventFilter, EventPosition, PositionedEvent, StoreError, chain};

/// Transactions that write events take milliseconds.
const PAUSE: Duration = Duration::from_millis(2);

macro_rules! after {
    ($kinds:literal) => {
        concat!(
            "SELECT position, id, seq, at, kind, source, actor, text, data, prev_hash, hash
             FROM events JOIN grants ON number = grant_number
             WHERE position > $1 AND position <= $3",
            $kinds,
            " ORDER BY position LIMIT $2"
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

/// Transactions that may have inserted events and have not ended. The lock is taken before a position is.
const WRITERS: &str = "
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND relation = 'events'::regclass AND mode = 'RowExclusiveLock'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND ($1::TEXT[] IS NULL OR virtualtransaction = ANY ($1))";

pub(super) async fn after(
    connection: &mut PgConnection,
    position: EventPosition,
    which: EventFilter,
    limit: u32,
) -> Result<Vec<PositionedEvent>, StoreError> {
    let found = read(connection, position, which, limit, i64::MAX).await?;
    let Some(last) = found.last() else { return Ok(Vec::new()) };
    let last = last.number("position")?;
    if i64::try_from(found.len()).is_ok_and(|length| position.as_number() + length == last) {
        return found.iter().map(positioned).collect();
    }
    let mut writers = writers(connection, None).await?;
    while !writers.is_empty() {
        tokio::time::sleep(PAUSE).await;
        writers = self::writers(connection, Some(writers)).await?;
    }
    read(connection, position, which, limit, last).await?.iter().map(positioned).collect()
}

async fn read(
    connection: &mut PgConnection,
    position: EventPosition,
    which: EventFilter,
    limit: u32,
    last: i64,
) -> sqlx::Result<Vec<PgRow>> {
    sqlx::query(after_position(which))
        .bind(position.as_number())
        .bind(i64::from(limit))
        .bind(last)
        .fetch_all(connection)
        .await
}

async fn writers(
    connection: &mut PgConnection,
    among: Option<Vec<String>>,
) -> Result<Vec<String>, StoreError> {
    let found = sqlx::query(WRITERS).bind(among).fetch_all(connection).await?;
    found.iter().map(|row| Ok(row.text("virtualtransaction")?.to_owned())).collect()
}

fn positioned(row: &PgRow) -> Result<PositionedEvent, StoreError> {
    chain::positioned(row, nul_escaping::unescaped(row.text("text")?))
}
