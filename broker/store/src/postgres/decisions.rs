//! Stores decisions, and reads them in order.

use domain::Decision;
use protocol::{GrantId, Timestamp};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::bind::millis;
use super::purge::{BATCH_SIZE, More};
use crate::columns::Columns;
use crate::decision_rows::{self, DecisionRow};
use crate::error::corrupt;
use crate::rows::Expected;
use crate::{DRY_RUNS_KEPT, DecisionFilter, StoreError, StoredDecision};

/// The columns that [`bind`] binds, in their order.
macro_rules! decided_columns {
    () => {
        "at, kind, agent_id, facts, facts_digest, rules, outcome, verdict, shadow_rules, shadow_outcome, shadow"
    };
}
pub(super) use decided_columns;

/// Binds a decision, or nulls.
pub(super) fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    row: Option<&'q DecisionRow>,
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(row.map(|row| row.at))
        .bind(row.map(|row| row.kind))
        .bind(row.map(|row| row.agent.as_str()))
        .bind(row.map(|row| row.facts.as_str()))
        .bind(row.map(|row| row.facts_digest.as_str()))
        .bind(row.and_then(|row| row.rules.as_deref()))
        .bind(row.map(|row| row.outcome))
        .bind(row.map(|row| row.verdict.as_str()))
        .bind(row.and_then(|row| row.shadow_rules.as_deref()))
        .bind(row.and_then(|row| row.shadow_outcome))
        .bind(row.and_then(|row| row.shadow.as_deref()))
}

/// A decision that comes with no new grant and no denial.
pub(super) struct Record<'a> {
    pub(super) grant: Option<&'a GrantId>,
    pub(super) observation: Option<&'a str>,
    pub(super) decision: &'a Decision,
}

const RECORD: &str = concat!(
    "INSERT INTO decisions (grant_number, observation_id, ",
    decided_columns!(),
    ")
     SELECT (SELECT number FROM grants WHERE id = $1), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13
     WHERE $1 IS NULL OR EXISTS (SELECT 1 FROM grants WHERE id = $1)
     RETURNING number"
);

/// Of an agent's dry runs. Brokers that record at once may exceed the limit by a few.
pub(super) const OLDEST_DRY_RUNS: &str = "DELETE FROM decisions WHERE number = ANY (ARRAY
     (SELECT number FROM decisions WHERE agent_id = $1 AND kind = 'dry_run' ORDER BY number DESC OFFSET $2))";

pub(super) async fn record(connection: &mut PgConnection, record: &Record<'_>) -> Result<i64, StoreError> {
    let row = DecisionRow::of(record.decision)?;
    let query = sqlx::query(RECORD).bind(record.grant.map(GrantId::as_str)).bind(record.observation);
    let Some(stored) = bind(query, Some(&row)).fetch_optional(&mut *connection).await? else {
        return Err(corrupt(
            "the grant of a decision",
            format!("expected a grant, found none for {:?}", record.grant),
        ));
    };
    if record.grant.is_none() && record.observation.is_none() {
        sqlx::query(OLDEST_DRY_RUNS)
            .bind(row.agent.as_str())
            .bind(i64::from(DRY_RUNS_KEPT))
            .execute(connection)
            .await?;
    }
    stored.number("number")
}

/// The decision about a grant that was claimed to be decided again.
pub(super) struct Reevaluated<'a> {
    pub(super) expected: Expected,
    pub(super) mark: i64,
    pub(super) decision: Option<&'a Decision>,
    pub(super) next: Option<Timestamp>,
}

const REEVALUATED: &str = concat!(
    "WITH moved AS (
         UPDATE grants SET claimed_until = NULL,
                reevaluate_at = CASE WHEN reevaluation = $3 THEN $4 ELSE reevaluate_at END
         WHERE id = $1 AND version = $2 RETURNING number, reevaluation
     ),
     decided AS (
         INSERT INTO decisions (grant_number, ",
    decided_columns!(),
    ")
         SELECT number, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 FROM moved
         WHERE reevaluation = $3 AND $5::BIGINT IS NOT NULL
     )
     SELECT reevaluation FROM moved"
);

/// Releases the claim in any case, and does the rest if the grant was not marked again.
pub(super) async fn reevaluated(
    connection: &mut PgConnection,
    change: &Reevaluated<'_>,
) -> Result<bool, StoreError> {
    let row = change.decision.map(DecisionRow::of).transpose()?;
    let query = sqlx::query(REEVALUATED)
        .bind(change.expected.id.as_str())
        .bind(change.expected.version)
        .bind(change.mark)
        .bind(millis(change.next));
    let moved = bind(query, row.as_ref()).fetch_optional(connection).await?;
    moved.map_or(Ok(false), |row| Ok(row.number("reevaluation")? == change.mark))
}

/// The columns that [`decision_rows::decision`] reads.
pub(super) const COLUMNS: &str =
    "decisions.number, id, observation_id, kind, facts, facts_digest, rules, verdict,
     shadow_rules, shadow FROM decisions LEFT JOIN grants ON grants.number = grant_number";

/// Which decisions to read.
pub(super) struct Page<'a> {
    pub(super) after: i64,
    pub(super) filter: DecisionFilter<'a>,
    pub(super) limit: u32,
}

pub(super) fn query(page: &Page<'_>) -> QueryBuilder<Postgres> {
    let DecisionFilter { since, agent, kinds } = page.filter;
    let mut query = QueryBuilder::new("SELECT ");
    query.push(COLUMNS).push(" WHERE decisions.number > ").push_bind(page.after);
    if let Some(since) = since {
        query.push(" AND decisions.number > coalesce((SELECT number FROM decisions WHERE at < ");
        query.push_bind(DecisionFilter::numbered_before(since).as_millis());
        query.push(" ORDER BY at DESC LIMIT 1), 0) AND at >= ");
        query.push_bind(since.as_millis());
    }
    if let Some(agent) = agent {
        query.push(" AND decisions.agent_id = ").push_bind(agent.to_string());
    }
    if !kinds.is_empty() {
        let kinds: Vec<&'static str> = kinds.iter().map(|kind| kind.as_str()).collect();
        query.push(" AND kind = ANY (").push_bind(kinds).push(")");
    }
    query.push(" ORDER BY decisions.number LIMIT ").push_bind(i64::from(page.limit));
    query
}

pub(super) async fn after(
    connection: &mut PgConnection,
    page: &Page<'_>,
) -> Result<Vec<StoredDecision>, StoreError> {
    let rows = query(page).build().fetch_all(connection).await?;
    rows.iter().map(decision_rows::decision).collect()
}

pub(super) async fn of_grant(
    connection: &mut PgConnection,
    grant: &GrantId,
) -> Result<Vec<StoredDecision>, StoreError> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT ");
    query.push(COLUMNS).push(" WHERE grant_number = (SELECT number FROM grants WHERE id = ");
    query.push_bind(grant.as_str()).push(") ORDER BY decisions.number");
    let rows = query.build().fetch_all(connection).await?;
    rows.iter().map(decision_rows::decision).collect()
}

/// Concurrent brokers delete different rows. Numbers come from a sequence, and the last decision stays all the same: on
/// every database the same decisions are left.
pub(super) const FORGET: &str = "
    WITH over AS MATERIALIZED (
        SELECT number, observation_id FROM decisions
        WHERE at <= $1 AND number < (SELECT max(number) FROM decisions)
        ORDER BY at, number LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    observed AS (
        DELETE FROM observed_actions USING over WHERE observed_actions.observation_id = over.observation_id
    )
    DELETE FROM decisions USING over WHERE decisions.number = over.number";

pub(super) async fn purge(connection: &mut PgConnection, not_since: Timestamp) -> Result<More, StoreError> {
    let done = sqlx::query(FORGET)
        .bind(not_since.as_millis())
        .bind(i64::from(BATCH_SIZE))
        .execute(connection)
        .await?;
    Ok(if done.rows_affected() < u64::from(BATCH_SIZE) { More::No } else { More::Maybe })
}
