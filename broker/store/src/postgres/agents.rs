//! Stores registered agents.

use domain::AgentStatus;
use protocol::agents::Outcome;
use protocol::{AgentId, Timestamp};
use sqlx::{Connection, PgConnection};

use super::marks;
use crate::registrations::AgentRow;
use crate::{Applied, ApplyMode, Registering, StoreError};

// Columns are named in every statement: `*` would fail on open connections when a migration adds a column.

pub(super) async fn find(
    connection: &mut PgConnection,
    id: &AgentId,
) -> Result<Option<AgentRow>, StoreError> {
    let row =
        sqlx::query("SELECT id, source, status, revision, created_at, updated_at FROM agents WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(connection)
            .await?;
    row.map(|row| AgentRow::read(&row, "id")).transpose()
}

pub(super) async fn page(
    connection: &mut PgConnection,
    after: Option<&AgentId>,
    limit: u32,
) -> Result<Vec<AgentRow>, StoreError> {
    // The empty text sorts before every id.
    let found = sqlx::query(
        "SELECT id, source, status, revision, created_at, updated_at FROM agents
         WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .bind(after.map_or("", AgentId::as_str))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(|row| AgentRow::read(row, "id")).collect()
}

/// Waits for grants of this agent that are being created, so that a listing after this finds them all.
pub(super) async fn set_status(
    connection: &mut PgConnection,
    id: &AgentId,
    status: AgentStatus,
    now: Timestamp,
) -> Result<Option<AgentRow>, StoreError> {
    let row = sqlx::query(
        "UPDATE agents SET status = $2,
                updated_at = CASE WHEN status = $2 THEN updated_at ELSE $3 END,
                revision = CASE WHEN status = $2 THEN revision ELSE revision + 1 END
         WHERE id = $1 RETURNING id, source, status, revision, created_at, updated_at",
    )
    .bind(id.as_str())
    .bind(status.as_str())
    .bind(now.as_millis())
    .fetch_optional(connection)
    .await?;
    row.map(|row| AgentRow::read(&row, "id")).transpose()
}

pub(super) async fn apply(
    connection: &mut PgConnection,
    registering: &Registering<'_>,
) -> Result<Applied, StoreError> {
    let Registering { registration, source, mode, token, now } = registering;
    let made = sqlx::query(
        "WITH made AS (
             INSERT INTO agents (id, source, status, revision, created_at, updated_at)
             VALUES ($1, $2, $3, 1, $4, $4) ON CONFLICT DO NOTHING RETURNING id
         )
         INSERT INTO auth_tokens (id, agent_id, hash, created_at, expires_at)
         SELECT $5, $6, $7, $8, $9 FROM made",
    )
    .bind(registration.id.as_str())
    .bind(source)
    .bind(AgentStatus::Active.as_str())
    .bind(now.as_millis())
    .bind(&token.id)
    .bind(token.agent_id.as_str())
    .bind(&token.hash)
    .bind(token.created_at.as_millis())
    .bind(token.expires_at.map(Timestamp::as_millis))
    .execute(&mut *connection)
    .await?;
    if made.rows_affected() > 0 {
        return Ok(Applied::Done(Outcome::Created));
    }
    match mode {
        ApplyMode::CreateOnly => Ok(Applied::Exists),
        ApplyMode::Replace => {
            // Grants that are being created are committed first. The next statement sees them.
            let mut transaction = connection.begin().await?;
            let changed = sqlx::query(
                "UPDATE agents SET source = $2, updated_at = $3, revision = revision + 1
                 WHERE id = $1 AND source <> $2",
            )
            .bind(registration.id.as_str())
            .bind(source)
            .bind(now.as_millis())
            .execute(&mut *transaction)
            .await?;
            if changed.rows_affected() == 0 {
                transaction.rollback().await?;
                return Ok(Applied::Done(Outcome::Unchanged));
            }
            marks::of_agent(&mut transaction, &registration.id, *now).await?;
            transaction.commit().await?;
            Ok(Applied::Done(Outcome::Updated))
        }
    }
}
