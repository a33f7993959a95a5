//! Stores the auth tokens of agents.

use protocol::{AgentId, Timestamp};
use sqlx::{Connection, PgConnection};

use super::bind::millis;
use crate::registrations::AgentRow;
use crate::{StoreError, StoredToken, rows};

pub(super) async fn with_agent(
    connection: &mut PgConnection,
    token_id: &str,
) -> Result<Option<(StoredToken, AgentRow)>, StoreError> {
    let row = sqlx::query(
        "SELECT t.id AS token_id, agent_id, hash, t.created_at AS token_created_at, expires_at,
                source, status, revision, a.created_at AS created_at, updated_at
         FROM auth_tokens t JOIN agents a ON a.id = t.agent_id WHERE t.id = $1",
    )
    .bind(token_id)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((rows::token(&row)?, AgentRow::read(&row, "agent_id")?))).transpose()
}

pub(super) async fn accepted(
    connection: &mut PgConnection,
    agent: &AgentId,
    now: Timestamp,
) -> Result<Vec<StoredToken>, StoreError> {
    let found = sqlx::query(
        "SELECT id AS token_id, agent_id, hash, created_at AS token_created_at, expires_at
         FROM auth_tokens WHERE agent_id = $1 AND (expires_at IS NULL OR expires_at > $2)
         ORDER BY created_at, number",
    )
    .bind(agent.as_str())
    .bind(now.as_millis())
    .fetch_all(connection)
    .await?;
    found.iter().map(rows::token).collect()
}

/// Two rotations at once run one after the other; otherwise the first one's new token would not expire.
pub(super) async fn rotate(
    connection: &mut PgConnection,
    new: &StoredToken,
    others_expire_at: Timestamp,
) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    let agent = sqlx::query("SELECT 1 FROM agents WHERE id = $1 FOR NO KEY UPDATE")
        .bind(new.agent_id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
    if agent.is_none() {
        transaction.rollback().await?;
        return Ok(false);
    }
    sqlx::query("UPDATE auth_tokens SET expires_at = least(expires_at, $2) WHERE agent_id = $1")
        .bind(new.agent_id.as_str())
        .bind(others_expire_at.as_millis())
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO auth_tokens (id, agent_id, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&new.id)
    .bind(new.agent_id.as_str())
    .bind(&new.hash)
    .bind(new.created_at.as_millis())
    .bind(millis(new.expires_at))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

pub(super) async fn remove(
    connection: &mut PgConnection,
    agent: &AgentId,
    token_id: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM auth_tokens WHERE id = $1 AND agent_id = $2")
        .bind(token_id)
        .bind(agent.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}
