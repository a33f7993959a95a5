//! Extends a grant's hash chain by new events.

use std::cmp::Ordering;

use domain::NewEvent;
use protocol::{Actor, EventKind, GrantId, Source, TimelineEvent, Timestamp};

use crate::columns::Columns;
use crate::error::corrupt;
use crate::{EventPosition, PositionedEvent, StoreError};

/// How many retries one timeline records: a client that has the key can retry forever.
pub const RETRIES_RECORDED: u32 = 20;

/// The event of one more retry after so many; None if enough are recorded.
pub(crate) fn retry(now: Timestamp, recorded: u32) -> Option<NewEvent> {
    let text = match (recorded + 1).cmp(&RETRIES_RECORDED) {
        Ordering::Less => "same request again · same grant",
        Ordering::Equal => "same request again · same grant · further retries are not recorded",
        Ordering::Greater => return None,
    };
    Some(NewEvent::new(now, EventKind::Retry, text))
}

/// From a row with `retries`: how many retries the timeline records.
pub(crate) fn retries(row: &impl Columns) -> Result<u32, StoreError> {
    let retries = row.number("retries")?;
    u32::try_from(retries).map_err(|_| corrupt("the number of recorded retries", retries))
}

/// The last event that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastRow {
    pub(crate) seq: u32,
    pub(crate) hash: String,
}

impl LastRow {
    /// From a row with `seq` and `hash`. None for a grant without events.
    pub(crate) fn read(row: &impl Columns) -> Result<Option<Self>, StoreError> {
        let seq = row.maybe_number("seq")?.map(place).transpose()?;
        let hash = row.maybe_text("hash")?.map(str::to_owned);
        Ok(seq.zip(hash).map(|(seq, hash)| Self { seq, hash }))
    }
}

/// An event to be written, with its data as they are stored.
pub(crate) struct Chained {
    pub(crate) row: TimelineEvent,
    pub(crate) data: String,
    /// JSON.
    pub(crate) actor: Option<String>,
}

/// Chains new events to the last one.
pub(crate) fn chain(
    grant: &GrantId,
    last: Option<&LastRow>,
    events: &[NewEvent],
) -> Result<Vec<Chained>, StoreError> {
    let before = last.map(|last| (last.seq, last.hash.as_str()));
    let rows = audit::chain(grant, before, events).into_iter().map(|row| {
        let data = serde_json::to_string(&row.data);
        let actor = row.actor.as_ref().map(serde_json::to_string).transpose();
        let unwritable = |error| corrupt("an event to be stored", error);
        Ok(Chained { data: data.map_err(unwritable)?, actor: actor.map_err(unwritable)?, row })
    });
    rows.collect()
}

/// The last event after these are written.
pub(crate) fn last_of(rows: &[Chained], before: Option<LastRow>) -> Option<LastRow> {
    rows.last().map(|last| LastRow { seq: last.row.seq, hash: last.row.hash.clone() }).or(before)
}

/// From a row with the columns of `events`, and the `id` of its grant.
pub(crate) fn positioned(row: &impl Columns, text: String) -> Result<PositionedEvent, StoreError> {
    let grant = row.text("id")?.parse().map_err(|error| corrupt("an event's grant", error))?;
    let position = EventPosition::from_number(row.number("position")?);
    Ok(PositionedEvent { position, event: event(row, &grant, text)? })
}

/// From a row with the columns of `events`. The caller reads the text.
pub(crate) fn event(row: &impl Columns, grant: &GrantId, text: String) -> Result<TimelineEvent, StoreError> {
    let (kind, source) = (row.text("kind")?, row.text("source")?);
    let unknown = |what: &str, found: &str| corrupt(what, format!("`{found}` is unknown"));
    Ok(TimelineEvent {
        grant_id: grant.clone(),
        seq: place(row.number("seq")?)?,
        at: Timestamp::from_millis(row.number("at")?),
        kind: EventKind::ALL
            .iter()
            .copied()
            .find(|one| one.as_str() == kind)
            .ok_or_else(|| unknown("an event's kind", kind))?,
        source: [Source::Broker, Source::Client, Source::Operator]
            .into_iter()
            .find(|one| one.as_str() == source)
            .ok_or_else(|| unknown("an event's source", source))?,
        actor: actor(row)?,
        text,
        data: serde_json::from_str(row.text("data")?).map_err(|error| corrupt("an event's data", error))?,
        prev_hash: row.text("prev_hash")?.to_owned(),
        hash: row.text("hash")?.to_owned(),
    })
}

fn actor(row: &impl Columns) -> Result<Option<Actor>, StoreError> {
    let Some(actor) = row.maybe_text("actor")? else { return Ok(None) };
    serde_json::from_str(actor).map(Some).map_err(|error| corrupt("an event's actor", error))
}

fn place(seq: i64) -> Result<u32, StoreError> {
    u32::try_from(seq).map_err(|_| corrupt("an event's place in its timeline", seq))
}
