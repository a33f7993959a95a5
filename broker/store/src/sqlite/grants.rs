//! How is a grant read?

use std::time::Duration;

use domain::{Grant, Lease};
use protocol::{AgentId, GrantId, IdempotencyKey, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::faults::corrupt;
use super::timeline::LastRow;
use crate::{StoreError, Stored};

// Who reads a grant is about to change it: with its last row at hand that is one text and not two.

const BY_ID: &str = "SELECT body, version, beat_every, last_beat,
            (SELECT seq FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS seq,
            (SELECT hash FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS hash
     FROM grants WHERE id = ?1";

pub(super) const BY_KEY: &str = "SELECT body, version, beat_every, last_beat,
            (SELECT seq FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS seq,
            (SELECT hash FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS hash
     FROM grants WHERE agent_id = ?1 AND idem_key = ?2";

/// From a row with `body`, `version`, `beat_every` and `last_beat`.
pub(super) fn read(row: &SqliteRow) -> Result<Stored, StoreError> {
    let body: &str = row.try_get("body")?;
    let grant: Grant = serde_json::from_str(body).map_err(|error| corrupt("a grant", error))?;
    Ok(Stored { grant, lease: lease(row)?, version: row.try_get("version")?, last_row: None })
}

/// From a row that has `seq` and `hash` of the last row too.
pub(super) fn read_with_last_row(row: &SqliteRow) -> Result<Stored, StoreError> {
    Ok(Stored { last_row: LastRow::read(row)?, ..read(row)? })
}

pub(super) fn lease(row: &SqliteRow) -> Result<Option<Lease>, StoreError> {
    let every: Option<i64> = row.try_get("beat_every")?;
    let last_beat: Option<i64> = row.try_get("last_beat")?;
    Ok(every.zip(last_beat).map(|(every, last_beat)| Lease {
        every: Duration::from_millis(every.unsigned_abs()),
        last_beat: Timestamp::from_millis(last_beat),
    }))
}

/// As a column. No lease is longer than time itself, so that arithmetic on it does not overflow.
pub(super) fn beat_every(lease: &Lease) -> i64 {
    Timestamp::from_millis(0).plus(lease.every).as_millis()
}

pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: GrantId,
) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query(BY_ID).bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read_with_last_row).transpose()
}

pub(super) async fn find_by_key(
    connection: &mut SqliteConnection,
    agent: AgentId,
    key: IdempotencyKey,
) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query(BY_KEY).bind(agent.as_str()).bind(key.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read_with_last_row).transpose()
}
