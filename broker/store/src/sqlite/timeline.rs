//! How does a timeline grow, and how is it read back?

use domain::NewEvent;
use protocol::{EventKind, GrantId, Source, TimelineEvent, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::faults::corrupt;
use crate::StoreError;

/// SQLite takes 32766 values in one statement, and a row has nine.
const ROWS: usize = 1000;

/// Adds the statement that writes rows behind the last one; nothing if there are none.
pub(super) fn push(
    query: &mut QueryBuilder<Sqlite>,
    grant: &GrantId,
    last: Option<(u32, &str)>,
    events: &[NewEvent],
) -> Result<(), StoreError> {
    for rows in audit::chain(grant, last, events).chunks(ROWS) {
        let data = rows
            .iter()
            .map(|row| {
                serde_json::to_string(&row.data).map_err(|error| corrupt("an event to be stored", error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        query.push("INSERT INTO events ");
        query.push_values(rows.iter().zip(data), |mut values, (row, data)| {
            values
                .push("(SELECT n FROM grants WHERE id = ")
                .push_bind_unseparated(grant.to_string())
                .push_unseparated(")")
                .push_bind(row.seq)
                .push_bind(row.at.as_millis())
                .push_bind(row.kind.as_str())
                .push_bind(row.source.as_str())
                .push_bind(row.text.clone())
                .push_bind(data)
                .push_bind(row.prev_hash.clone())
                .push_bind(row.hash.clone());
        });
        query.push("; ");
    }
    Ok(())
}

pub(super) async fn add(
    connection: &mut SqliteConnection,
    grant: GrantId,
    events: Vec<NewEvent>,
) -> Result<(), StoreError> {
    let last = sqlx::query(
        "SELECT seq, hash FROM grants LEFT JOIN events ON grant_n = n
         WHERE id = ?1 ORDER BY seq DESC LIMIT 1",
    )
    .bind(grant.as_str())
    .fetch_optional(&mut *connection)
    .await?
    .ok_or_else(|| corrupt("rows for a timeline", format!("there is no grant `{grant}`")))?;
    let mut query = QueryBuilder::new("");
    push(&mut query, &grant, last_of(&last)?, &events)?;
    query.build().execute(connection).await?;
    Ok(())
}

/// Number and hash of the last row, from a row with `seq` and `hash`.
pub(super) fn last_of(row: &SqliteRow) -> Result<Option<(u32, &str)>, StoreError> {
    let seq: Option<u32> = row.try_get("seq")?;
    let hash: Option<&str> = row.try_get("hash")?;
    Ok(seq.zip(hash))
}

pub(super) async fn read(
    connection: &mut SqliteConnection,
    grant: GrantId,
) -> Result<Vec<TimelineEvent>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, at, kind, source, text, data, prev_hash, hash FROM events
         WHERE grant_n = (SELECT n FROM grants WHERE id = ?1) ORDER BY seq",
    )
    .bind(grant.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| event(row, &grant)).collect()
}

fn event(row: &SqliteRow, grant: &GrantId) -> Result<TimelineEvent, StoreError> {
    let (kind, source): (&str, &str) = (row.try_get("kind")?, row.try_get("source")?);
    let unknown = |what: &str, found: &str| corrupt(what, format!("`{found}` is unknown"));
    Ok(TimelineEvent {
        grant_id: grant.clone(),
        seq: row.try_get("seq")?,
        at: Timestamp::from_millis(row.try_get("at")?),
        kind: EventKind::ALL
            .iter()
            .copied()
            .find(|one| one.as_str() == kind)
            .ok_or_else(|| unknown("an event's kind", kind))?,
        source: [Source::Broker, Source::Client, Source::Operator]
            .into_iter()
            .find(|one| one.as_str() == source)
            .ok_or_else(|| unknown("an event's source", source))?,
        text: row.try_get("text")?,
        data: serde_json::from_str(row.try_get("data")?)
            .map_err(|error| corrupt("an event's data", error))?,
        prev_hash: row.try_get("prev_hash")?,
        hash: row.try_get("hash")?,
    })
}
