//! Who is registered, and how is a registration not parsed again for every request?

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{Agent, AgentStatus, registration};
use protocol::agents::Outcome;
use protocol::{AgentId, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::auth_tokens;
use super::faults::corrupt;
use crate::{Applied, ApplyMode, StoreError, StoredToken};

/// An agent as it is stored, its registration still in TOML.
#[derive(Debug)]
pub(super) struct AgentRow {
    id: AgentId,
    source: String,
    status: AgentStatus,
    revision: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl AgentRow {
    /// From a row with the columns of `agents`, `id` under the name that is given.
    pub(super) fn read(row: &SqliteRow, id: &str) -> Result<Self, StoreError> {
        let status: &str = row.try_get("status")?;
        Ok(Self {
            id: row.try_get::<&str, _>(id)?.parse().map_err(|error| corrupt("an agent", error))?,
            source: row.try_get("source")?,
            status: AgentStatus::from_stored(status)
                .ok_or_else(|| corrupt("an agent's status", format!("`{status}` is unknown")))?,
            revision: row.try_get("revision")?,
            created_at: Timestamp::from_millis(row.try_get("created_at")?),
            updated_at: Timestamp::from_millis(row.try_get("updated_at")?),
        })
    }
}

/// The agents that were read, each in its latest revision.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    latest: Mutex<HashMap<AgentId, (i64, Arc<Agent>)>>,
}

impl Registrations {
    /// The agent of a row: the one from before if the row has not changed since.
    pub(super) fn parsed(&self, row: AgentRow) -> Result<Arc<Agent>, StoreError> {
        if let Some((revision, agent)) =
            self.latest.lock().unwrap_or_else(PoisonError::into_inner).get(&row.id)
            && *revision == row.revision
        {
            return Ok(Arc::clone(agent));
        }
        let registration = registration::parse(&row.source)
            .map_err(|error| corrupt(&format!("the registration of `{}`", row.id), error))?;
        let agent = Arc::new(Agent {
            id: row.id.clone(),
            registration,
            source: row.source,
            status: row.status,
            created_at: row.created_at,
            updated_at: row.updated_at,
        });
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.insert(row.id, (row.revision, Arc::clone(&agent)));
        Ok(agent)
    }
}

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
            .execute(connection)
            .await?;
            Ok(Applied::Done(Outcome::Updated))
        }
    }
}
