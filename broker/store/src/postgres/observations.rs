//! Stores what the steps of observations called, and reads observations.

use protocol::AgentId;
use protocol::actions::Action;
use sqlx::{Connection, PgConnection, Postgres, QueryBuilder};

use super::{decisions, nul_escaping};
use crate::columns::Columns;
use crate::observations::{self, ObservedRow};
use crate::{ActionsAdded, ObservationListing, StoreError, StoredObservation};

/// The row of the decision is locked, so that two reports do not exceed the limit.
pub(super) async fn add_actions(
    connection: &mut PgConnection,
    id: &str,
    agent: &AgentId,
    actions: &[Action],
) -> Result<ActionsAdded, StoreError> {
    let mut transaction = connection.begin().await?;
    let known = sqlx::query("SELECT agent_id FROM decisions WHERE observation_id = $1 FOR NO KEY UPDATE")
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
    if known.as_ref().map(|row| row.text("agent_id")).transpose()? != Some(agent.as_str()) {
        transaction.rollback().await?;
        return Ok(ActionsAdded::Unknown);
    }
    let stored = sqlx::query("SELECT name, status FROM observed_actions WHERE observation_id = $1")
        .bind(id)
        .fetch_all(&mut *transaction)
        .await?;
    let unescaped = |text: &str| nul_escaping::unescaped(text);
    let stored: Result<Vec<_>, StoreError> =
        stored.iter().map(|row| Ok((unescaped(row.text("name")?), unescaped(row.text("status")?)))).collect();
    let Some(rows) = observations::to_add(stored?, actions) else {
        transaction.rollback().await?;
        return Ok(ActionsAdded::TooMany);
    };
    let (mut names, mut statuses, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for ObservedRow { name, status, count } in rows {
        names.push(nul_escaping::escaped(&name).into_owned());
        statuses.push(nul_escaping::escaped(&status).into_owned());
        counts.push(i64::from(count));
    }
    sqlx::query(
        "INSERT INTO observed_actions (observation_id, name, status, count)
         SELECT $1, new.* FROM unnest($2::TEXT[], $3::TEXT[], $4::BIGINT[]) AS new
         ON CONFLICT (observation_id, name, status)
             DO UPDATE SET count = least(observed_actions.count + excluded.count, $5)",
    )
    .bind(id)
    .bind(names)
    .bind(statuses)
    .bind(counts)
    .bind(i64::from(u32::MAX))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(ActionsAdded::Done)
}

pub(super) fn query(listing: &ObservationListing<'_>) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT (SELECT coalesce(json_agg(json_build_array(name, status, count)), '[]')::TEXT FROM observed_actions
                 WHERE observed_actions.observation_id = decisions.observation_id) AS actions, ",
    );
    query.push(decisions::COLUMNS).push(" WHERE kind = 'observe' AND decisions.number > ");
    query.push_bind(listing.after.unwrap_or_default());
    if let Some(agent) = listing.agent {
        query.push(" AND decisions.agent_id = ").push_bind(agent.to_string());
    }
    if let Some(since) = listing.since {
        query.push(" AND at >= ").push_bind(since.as_millis());
    }
    query.push(" ORDER BY decisions.number LIMIT ").push_bind(i64::from(listing.limit));
    query
}

pub(super) async fn list(
    connection: &mut PgConnection,
    listing: &ObservationListing<'_>,
) -> Result<Vec<StoredObservation>, StoreError> {
    let rows = query(listing).build().fetch_all(connection).await?;
    rows.iter().map(|row| observations::stored(row, nul_escaping::unescaped)).collect()
}
