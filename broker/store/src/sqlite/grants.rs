//! How is a grant read?

use std::time::Duration;

use domain::{Grant, Lease};
use protocol::{AgentId, GrantId, IdempotencyKey, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::faults::corrupt;
use crate::{StoreError, Stored};

/// From a row with `body`, `version`, `beat_every` and `last_beat`.
pub(super) fn read(row: &SqliteRow) -> Result<Stored, StoreError> {
    let body: &str = row.try_get("body")?;
    let grant: Grant = serde_json::from_str(body).map_err(|error| corrupt("a grant", error))?;
    Ok(Stored { grant, lease: lease(row)?, version: row.try_get("version")? })
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
    let row = sqlx::query("SELECT body, version, beat_every, last_beat FROM grants WHERE id = ?1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

pub(super) const BY_KEY: &str =
    "SELECT body, version, beat_every, last_beat FROM grants WHERE agent_id = ?1 AND idem_key = ?2";

pub(super) async fn find_by_key(
    connection: &mut SqliteConnection,
    agent: AgentId,
    key: IdempotencyKey,
) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query(BY_KEY).bind(agent.as_str()).bind(key.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}
