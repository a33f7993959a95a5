//! Stores the auth tokens of agents.

use protocol::{AgentId, Timestamp};
use sqlx::SqliteConnection;

use crate::registrations::AgentRow;
use crate::{StoreError, StoredToken, rows};

pub(super) async fn with_agent(
    connection: &mut SqliteConnection,
    token_id: String,
) -> Result<Option<(StoredToken, AgentRow)>, StoreError> {
    let row = sqlx::query(
        "SELECT t.id AS token_id, agent_id, hash, t.created_at AS token_created_at, expires_at,
                source, status, revision, a.created_at AS created_at, updated_at
         FROM auth_tokens t JOIN agents a ON a.id = t.agent_id WHERE t.id = ?1",
    )
    .bind(token_id)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((rows::token(&row)?, AgentRow::read(&row, "agent_id")?))).transpose()
}

pub(super) async fn accepted(
    connection: &mut SqliteConnection,
    agent: AgentId,
    now: Timestamp,
) -> Result<Vec<StoredToken>, StoreError> {
    let found = sqlx::query(
        "SELECT id AS token_id, agent_id, hash, created_at AS token_created_at, expires_at
         FROM auth_tokens WHERE agent_id = ?1 AND (expires_at IS NULL OR expires_at > ?2)
         ORDER BY created_at, rowid",
    )
    .bind(agent.as_str())
    .bind(now.as_millis())
    .fetch_all(connection)
    .await?;
    found.iter().map(rows::token).collect()
}

pub(super) async fn insert(connection: &mut SqliteConnection, token: &StoredToken) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO auth_tokens VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(&token.id)
        .bind(token.agent_id.as_str())
        .bind(&token.hash)
        .bind(token.created_at.as_millis())
        .bind(token.expires_at.map(Timestamp::as_millis))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn rotate(
    connection: &mut SqliteConnection,
    new: StoredToken,
    others_expire_at: Timestamp,
) -> Result<bool, StoreError> {
    let agent = sqlx::query("SELECT 1 FROM agents WHERE id = ?1")
        .bind(new.agent_id.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    if agent.is_none() {
        return Ok(false);
    }
    sqlx::query("UPDATE auth_tokens SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE agent_id = ?1")
        .bind(new.agent_id.as_str())
        .bind(others_expire_at.as_millis())
        .execute(&mut *connection)
        .await?;
    insert(connection, &new).await?;
    Ok(true)
}

pub(super) async fn remove(
    connection: &mut SqliteConnection,
    agent: AgentId,
    token_id: String,
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM auth_tokens WHERE id = ?1 AND agent_id = ?2")
        .bind(token_id)
        .bind(agent.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}
