//! Reads grants.

use protocol::{AgentId, GrantId, IdempotencyKey};
use sqlx::PgConnection;

use crate::{GrantRecord, StoreError, rows};

pub(super) async fn find(
    connection: &mut PgConnection,
    id: &GrantId,
) -> Result<Option<GrantRecord>, StoreError> {
    let row = sqlx::query(
        "SELECT body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, denials, denied_at, last_seq AS seq, last_hash AS hash
         FROM grants WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(GrantRecord { denials: rows::denials(&row)?, ..rows::grant_with_last_row(&row)? }))
}

pub(super) async fn find_by_key(
    connection: &mut PgConnection,
    agent: &AgentId,
    key: &IdempotencyKey,
) -> Result<Option<GrantRecord>, StoreError> {
    let row = sqlx::query(
        "SELECT body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, last_seq AS seq, last_hash AS hash
         FROM grants WHERE id = (SELECT grant_id FROM idempotency_keys WHERE agent_id = $1 AND idem_key = $2)",
    )
    .bind(agent.as_str())
    .bind(key.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(rows::grant_with_last_row).transpose()
}
