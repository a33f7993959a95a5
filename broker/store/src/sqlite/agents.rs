//! Stores registered agents.

use domain::AgentStatus;
use protocol::agents::Outcome;
use protocol::{AgentId, Timestamp};
use sqlx::SqliteConnection;

use super::{auth_tokens, marks};
use crate::registrations::AgentRow;
use crate::{Applied, ApplyMode, StoreError, StoredToken};

pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: AgentId,
) -> Result<Option<AgentRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM agents WHERE id = ?1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| AgentRow::read(&row, "id")).transpose()
}

pub(super) async fn page(
    connection: &mut SqliteConnection,
    after: Option<AgentId>,
    limit: u32,
) -> Result<Vec<AgentRow>, StoreError> {
    // The empty text comes before every id.
    let rows = sqlx::query("SELECT * FROM agents WHERE id > ?1 ORDER BY id LIMIT ?2")
        .bind(after.as_ref().map_or("", AgentId::as_str))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| AgentRow::read(row, "id")).collect()
}

pub(super) async fn set_status(
    connection: &mut SqliteConnection,
    id: AgentId,
    status: AgentStatus,
    now: Timestamp,
) -> Result<Option<AgentRow>, StoreError> {
    sqlx::query(
        "UPDATE agents SET status = ?2, updated_at = ?3, revision = revision + 1
         WHERE id = ?1 AND status <> ?2",
    )
    .bind(id.as_str())
    .bind(status.as_str())
    .bind(now.as_millis())
    .execute(&mut *connection)
    .await?;
    find(connection, id).await
}

pub(super) async fn apply(
    connection: &mut SqliteConnection,
    id: AgentId,
    source: String,
    mode: ApplyMode,
    token: StoredToken,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let Some(before) = find(connection, id.clone()).await? else {
        sqlx::query("INSERT INTO agents VALUES (?1, ?2, ?3, 1, ?4, ?4)")
            .bind(id.as_str())
            .bind(source)
            .bind(AgentStatus::Active.as_str())
            .bind(now.as_millis())
            .execute(&mut *connection)
            .await?;
        auth_tokens::insert(connection, &token).await?;
        return Ok(Applied::Done(Outcome::Created));
    };
    match mode {
        ApplyMode::CreateOnly => Ok(Applied::Exists),
        ApplyMode::Replace if before.source == source => Ok(Applied::Done(Outcome::Unchanged)),
        ApplyMode::Replace => {
            sqlx::query(
                "UPDATE agents SET source = ?2, updated_at = ?3, revision = revision + 1 WHERE id = ?1",
            )
            .bind(id.as_str())
            .bind(source)
            .bind(now.as_millis())
            .execute(&mut *connection)
            .await?;
            marks::of_agent(connection, &id, now).await?;
            Ok(Applied::Done(Outcome::Updated))
        }
    }
}
