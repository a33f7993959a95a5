//! Stores what the steps of observations called, and reads observations.

use protocol::actions::Action;
use protocol::{AgentId, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::decisions;
use crate::columns::Columns;
use crate::observations::{self, ObservedRow};
use crate::{ActionsAdded, ObservationListing, StoreError, StoredObservation};

pub(super) async fn add_actions(
    connection: &mut SqliteConnection,
    id: String,
    agent: AgentId,
    actions: Vec<Action>,
) -> Result<ActionsAdded, StoreError> {
    let known = sqlx::query("SELECT agent_id FROM decisions WHERE observation_id = ?1")
        .bind(&id)
        .fetch_optional(&mut *connection)
        .await?;
    if known.as_ref().map(|row| row.text("agent_id")).transpose()? != Some(agent.as_str()) {
        return Ok(ActionsAdded::Unknown);
    }
    let stored = sqlx::query("SELECT name, status FROM observed_actions WHERE observation_id = ?1")
        .bind(&id)
        .fetch_all(&mut *connection)
        .await?;
    let stored: Result<Vec<_>, StoreError> =
        stored.iter().map(|row| Ok((row.text("name")?.to_owned(), row.text("status")?.to_owned()))).collect();
    let Some(rows) = observations::to_add(stored?, &actions) else { return Ok(ActionsAdded::TooMany) };
    for ObservedRow { name, status, count } in rows {
        sqlx::query(
            "INSERT INTO observed_actions VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET count = min(count + excluded.count, ?5)",
        )
        .bind(&id)
        .bind(name)
        .bind(status)
        .bind(count)
        .bind(u32::MAX)
        .execute(&mut *connection)
        .await?;
    }
    Ok(ActionsAdded::Done)
}

/// The request of a listing, with values of its own.
pub(super) struct Wanted {
    agent: Option<AgentId>,
    since: Option<Timestamp>,
    after: i64,
    limit: u32,
}

impl From<ObservationListing<'_>> for Wanted {
    fn from(listing: ObservationListing<'_>) -> Self {
        let ObservationListing { agent, since, after, limit } = listing;
        Self { agent: agent.cloned(), since, after: after.unwrap_or_default(), limit }
    }
}

pub(super) fn query(wanted: &Wanted) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT (SELECT json_group_array(json_array(name, status, count)) FROM observed_actions
                 WHERE observed_actions.observation_id = decisions.observation_id) AS actions, ",
    );
    query.push(decisions::COLUMNS).push(" WHERE kind = 'observe' AND decisions.number > ");
    query.push_bind(wanted.after);
    if let Some(agent) = &wanted.agent {
        query.push(" AND +decisions.agent_id = ").push_bind(agent.to_string());
    }
    if let Some(since) = wanted.since {
        query.push(" AND +at >= ").push_bind(since.as_millis());
    }
    query.push(" ORDER BY decisions.number LIMIT ").push_bind(wanted.limit);
    query
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    wanted: Wanted,
) -> Result<Vec<StoredObservation>, StoreError> {
    let rows = query(&wanted).build().fetch_all(connection).await?;
    rows.iter().map(|row| observations::stored(row, |text| text.to_owned())).collect()
}
