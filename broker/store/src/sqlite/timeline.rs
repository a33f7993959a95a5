//! How does a timeline grow, and how is it read back?

use domain::NewEvent;
use protocol::{EventKind, GrantId, Source, TimelineEvent, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::change::Change;
use super::faults::corrupt;
use crate::StoreError;

/// SQLite takes 32766 values in one statement, and a row has eight.
const ROWS: usize = 1000;

/// What the chain goes on from: the last row that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastRow {
    pub(super) seq: u32,
    pub(super) hash: String,
}

impl LastRow {
    /// From a row with `seq` and `hash`. None for a grant without rows.
    pub(super) fn read(row: &SqliteRow) -> Result<Option<Self>, StoreError> {
        let seq: Option<u32> = row.try_get("seq")?;
        let hash: Option<String> = row.try_get("hash")?;
        Ok(seq.zip(hash).map(|(seq, hash)| Self { seq, hash }))
    }
}

/// Adds the statement that writes rows behind the last one; nothing if there are none. They are written if the
/// grant is there `and` something more is so. Gives the row that is the last one then.
pub(super) fn push(
    query: &mut QueryBuilder<Sqlite>,
    grant: &GrantId,
    and: &str,
    last: Option<LastRow>,
    events: &[NewEvent],
) -> Result<Option<LastRow>, StoreError> {
    let before = last.as_ref().map(|last| (last.seq, last.hash.as_str()));
    let rows = audit::chain(grant, before, events);
    let now_last = rows.last().map(|row| LastRow { seq: row.seq, hash: row.hash.clone() });
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let piece = rows.by_ref().take(ROWS).map(|row| {
            let data = serde_json::to_string(&row.data);
            Ok((data.map_err(|error| corrupt("an event to be stored", error))?, row))
        });
        let piece = piece.collect::<Result<Vec<_>, StoreError>>()?;
        query.push("INSERT INTO events SELECT n, new.* FROM grants, (");
        query.push_values(piece, |mut values, (data, row)| {
            values
                .push_bind(row.seq)
                .push_bind(row.at.as_millis())
                .push_bind(row.kind.as_str())
                .push_bind(row.source.as_str())
                .push_bind(row.text)
                .push_bind(data)
                .push_bind(row.prev_hash)
                .push_bind(row.hash);
        });
        query.push(") AS new WHERE id = ").push_bind(grant.to_string());
        query.push(and).push("; ");
    }
    Ok(now_last.or(last))
}

pub(super) async fn add(
    mut change: Change<'_>,
    grant: GrantId,
    events: Vec<NewEvent>,
) -> Result<(), StoreError> {
    let mut query = change.text();
    query.push("SELECT seq, hash FROM grants LEFT JOIN events ON grant_n = n WHERE id = ");
    query.push_bind(grant.to_string()).push(" ORDER BY seq DESC LIMIT 1; ");
    let found = change.run(query).await?;
    let row = found
        .first()
        .ok_or_else(|| corrupt("rows for a timeline", format!("there is no grant `{grant}`")))?;
    let mut query = change.text();
    push(&mut query, &grant, "", LastRow::read(row)?, &events)?;
    change.run_last(query).await?;
    Ok(())
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
