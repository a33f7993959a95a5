//! Stores decisions, and reads them in order.

use domain::Decision;
use protocol::{AgentId, GrantId, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::batch::{Change, IF_PREVIOUS_CHANGED_ROWS};
use super::purge::{BATCH_SIZE, More};
use crate::columns::Columns;
use crate::decision_rows::{self, DecisionRow};
use crate::error::corrupt;
use crate::rows::Expected;
use crate::{DRY_RUNS_KEPT, DecisionFilter, StoreError, StoredDecision};

/// What a decision is about.
#[derive(Debug, Clone)]
pub(super) enum About {
    Grant(GrantId),
    Observation(String),
    /// A dry run.
    Nothing,
}

/// Adds the statement that stores a decision: under a condition on the grant, if it is about one.
pub(super) fn push(text: &mut QueryBuilder<Sqlite>, about: &About, and: &str, row: DecisionRow) {
    text.push(
        "INSERT INTO decisions (grant_number, observation_id, at, kind, agent_id, facts, facts_digest, rules, outcome,
                                verdict, shadow_rules, shadow_outcome, shadow) SELECT ",
    );
    match about {
        About::Grant(_) => text.push("number, NULL, "),
        About::Observation(id) => text.push("NULL, ").push_bind(id.clone()).push(", "),
        About::Nothing => text.push("NULL, NULL, "),
    };
    text.separated(", ")
        .push_bind(row.at)
        .push_bind(row.kind)
        .push_bind(row.agent.to_string())
        .push_bind(row.facts)
        .push_bind(row.facts_digest)
        .push_bind(row.rules)
        .push_bind(row.outcome)
        .push_bind(row.verdict)
        .push_bind(row.shadow_rules)
        .push_bind(row.shadow_outcome)
        .push_bind(row.shadow);
    if let About::Grant(grant) = about {
        text.push(" FROM grants WHERE id = ").push_bind(grant.to_string()).push(and);
    }
}

pub(super) async fn record(
    connection: &mut SqliteConnection,
    about: About,
    decision: Decision,
) -> Result<i64, StoreError> {
    let row = DecisionRow::of(&decision)?;
    let agent = row.agent.clone();
    let mut text = QueryBuilder::new("");
    push(&mut text, &about, "", row);
    text.push(" RETURNING number");
    let Some(stored) = text.build().fetch_optional(&mut *connection).await? else {
        return Err(corrupt(
            "the grant of a decision",
            format!("expected a grant, found none for {about:?}"),
        ));
    };
    if matches!(about, About::Nothing) {
        drop_oldest_dry_runs(connection, &agent).await?;
    }
    stored.number("number")
}

pub(super) const OLDEST_DRY_RUNS: &str = "DELETE FROM decisions WHERE number IN
     (SELECT number FROM decisions WHERE agent_id = ?1 AND kind = 'dry_run' ORDER BY number DESC LIMIT -1 OFFSET ?2)";

async fn drop_oldest_dry_runs(connection: &mut SqliteConnection, agent: &AgentId) -> Result<(), StoreError> {
    sqlx::query(OLDEST_DRY_RUNS).bind(agent.as_str()).bind(DRY_RUNS_KEPT).execute(connection).await?;
    Ok(())
}

/// Releases the claim in any case, and does the rest if the grant was not marked again.
pub(super) async fn reevaluated(
    mut change: Change<'_>,
    expected: Expected,
    mark: i64,
    decision: Option<Decision>,
    next: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let mut text = change.statement();
    text.push("UPDATE grants SET claimed_until = NULL, reevaluate_at = CASE WHEN reevaluation = ")
        .push_bind(mark);
    text.push(" THEN ").push_bind(next.map(Timestamp::as_millis)).push(" ELSE reevaluate_at END WHERE id = ");
    text.push_bind(expected.id.to_string()).push(" AND version = ").push_bind(expected.version);
    text.push(" RETURNING reevaluation; ");
    if let Some(decision) = &decision {
        let about = About::Grant(expected.id);
        push(&mut text, &about, " AND reevaluation = ", DecisionRow::of(decision)?);
        text.push_bind(mark).push(IF_PREVIOUS_CHANGED_ROWS).push("; ");
    }
    let found = change.run_and_commit(text).await?;
    found.first().map_or(Ok(false), |row| Ok(row.number("reevaluation")? == mark))
}

/// The columns that [`decision_rows::decision`] reads.
pub(super) const COLUMNS: &str =
    "decisions.number, id, observation_id, kind, facts, facts_digest, rules, verdict,
     shadow_rules, shadow FROM decisions LEFT JOIN grants ON grants.number = grant_number";

/// Which decisions to read.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) after: i64,
    pub(super) since: Option<Timestamp>,
    pub(super) agent: Option<AgentId>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) limit: u32,
}

impl Filter {
    pub(super) fn of(after: i64, filter: DecisionFilter<'_>, limit: u32) -> Self {
        let DecisionFilter { since, agent, kinds } = filter;
        let kinds = kinds.iter().map(|kind| kind.as_str()).collect();
        Self { after, since, agent: agent.cloned(), kinds, limit }
    }
}

pub(super) fn query(filter: &Filter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(COLUMNS).push(" WHERE decisions.number > ").push_bind(filter.after);
    if let Some(since) = filter.since {
        query.push(" AND decisions.number > coalesce((SELECT number FROM decisions WHERE at < ");
        query.push_bind(DecisionFilter::numbered_before(since).as_millis());
        query.push(" ORDER BY at DESC LIMIT 1), 0) AND at >= ");
        query.push_bind(since.as_millis());
    }
    if let Some(agent) = &filter.agent {
        query.push(" AND +decisions.agent_id = ").push_bind(agent.to_string());
    }
    if !filter.kinds.is_empty() {
        query.push(" AND +kind IN (");
        let mut kinds = query.separated(", ");
        for kind in &filter.kinds {
            kinds.push_bind(*kind);
        }
        query.push(")");
    }
    query.push(" ORDER BY decisions.number LIMIT ").push_bind(filter.limit);
    query
}

pub(super) async fn after(
    connection: &mut SqliteConnection,
    filter: Filter,
) -> Result<Vec<StoredDecision>, StoreError> {
    let rows = query(&filter).build().fetch_all(connection).await?;
    rows.iter().map(decision_rows::decision).collect()
}

pub(super) async fn of_grant(
    connection: &mut SqliteConnection,
    grant: GrantId,
) -> Result<Vec<StoredDecision>, StoreError> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(COLUMNS).push(" WHERE grant_number = (SELECT number FROM grants WHERE id = ");
    query.push_bind(grant.to_string()).push(") ORDER BY decisions.number");
    let rows = query.build().fetch_all(connection).await?;
    rows.iter().map(decision_rows::decision).collect()
}

macro_rules! of_the_old {
    ($delete:literal, $column:literal) => {
        concat!(
            $delete,
            " IN (SELECT ",
            $column,
            " FROM decisions WHERE at <= ?1 AND number < (SELECT max(number) FROM decisions)
                  ORDER BY at, number LIMIT ?2)"
        )
    };
}

/// What was observed first, because the decisions name it.
pub(super) const FORGET: [&str; 2] = [
    of_the_old!("DELETE FROM observed_actions WHERE observation_id", "observation_id"),
    of_the_old!("DELETE FROM decisions WHERE number", "number"),
];

pub(super) async fn purge(
    connection: &mut SqliteConnection,
    not_since: Timestamp,
) -> Result<More, StoreError> {
    let mut forgotten = 0;
    for what in FORGET {
        let done =
            sqlx::query(what).bind(not_since.as_millis()).bind(BATCH_SIZE).execute(&mut *connection).await?;
        forgotten = done.rows_affected();
    }
    Ok(if forgotten < u64::from(BATCH_SIZE) { More::No } else { More::Maybe })
}
