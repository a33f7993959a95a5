//! Reads grants.

use protocol::{AgentId, GrantId, IdempotencyKey};
use sqlx::SqliteConnection;

use crate::{GrantRecord, StoreError, rows};

// A driver that reads a grant usually saves it next: with the last event at hand that takes one text, not two.

const BY_ID: &str = "SELECT body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, denials, denied_at,
            (SELECT seq FROM events WHERE grant_number = number ORDER BY seq DESC LIMIT 1) AS seq,
            (SELECT hash FROM events WHERE grant_number = number ORDER BY seq DESC LIMIT 1) AS hash
     FROM grants WHERE id = ?1";

pub(super) const BY_KEY: &str =
    "SELECT body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation,
            (SELECT seq FROM events WHERE grant_number = number ORDER BY seq DESC LIMIT 1) AS seq,
            (SELECT hash FROM events WHERE grant_number = number ORDER BY seq DESC LIMIT 1) AS hash
     FROM grants WHERE agent_id = ?1 AND idem_key = ?2";

pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: GrantId,
) -> Result<Option<GrantRecord>, StoreError> {
    let row = sqlx::query(BY_ID).bind(id.as_str()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(GrantRecord { denials: rows::denials(&row)?, ..rows::grant_with_last_row(&row)? }))
}

pub(super) async fn find_by_key(
    connection: &mut SqliteConnection,
    agent: AgentId,
    key: IdempotencyKey,
) -> Result<Option<GrantRecord>, StoreError> {
    let row = sqlx::query(BY_KEY).bind(agent.as_str()).bind(key.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(rows::grant_with_last_row).transpose()
}
