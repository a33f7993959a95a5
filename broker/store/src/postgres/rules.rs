//! Stores rule sets and the history of the rules.

use domain::RuleSetDigest;
use protocol::rules::{RuleSetFiles, RulesState};
use sqlx::{Connection, PgConnection};

use super::marks;
use crate::columns::Columns;
use crate::{StoreError, decision_rows};

pub(super) async fn current(connection: &mut PgConnection) -> Result<RulesState, StoreError> {
    let newest = history(connection, None, 1).await?.pop();
    Ok(newest.unwrap_or_else(decision_rows::no_rules))
}

pub(super) async fn history(
    connection: &mut PgConnection,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<RulesState>, StoreError> {
    let rows = sqlx::query(
        "SELECT version, at, author, action, active, candidate, rollout FROM rules_history
         WHERE version < $1 ORDER BY version DESC LIMIT $2",
    )
    .bind(before.unwrap_or(i64::MAX))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(decision_rows::rules_state).collect()
}

pub(super) async fn set(
    connection: &mut PgConnection,
    digest: &RuleSetDigest,
) -> Result<Option<RuleSetFiles>, StoreError> {
    let row = sqlx::query("SELECT digest, files, created_at, created_by FROM rule_sets WHERE digest = $1")
        .bind(digest.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(decision_rows::rule_set).transpose()
}

/// A change of the rules, with the files of a new set.
pub(super) struct Change<'a> {
    pub(super) expected: i64,
    pub(super) next: &'a RulesState,
    pub(super) files: Option<&'a RuleSetFiles>,
}

const CHANGE: &str = "
    WITH stored AS (
        INSERT INTO rule_sets (digest, files, created_at, created_by)
        SELECT $8, $9, $10, $11
        WHERE $8 IS NOT NULL AND (SELECT coalesce(max(version), 0) FROM rules_history) = $1
        ON CONFLICT DO NOTHING
    )
    INSERT INTO rules_history (version, at, author, action, active, candidate, rollout)
    SELECT $1 + 1, $2, $3, $4, $5, $6, $7
    WHERE (SELECT coalesce(max(version), 0) FROM rules_history) = $1
    RETURNING version";

/// Waits for grants that are being created, so that they are marked; grants that come later see the new version. The lock
/// is a statement of its own, because a statement does not see what was committed while it waited.
pub(super) async fn change(
    connection: &mut PgConnection,
    change: &Change<'_>,
) -> Result<Option<RulesState>, StoreError> {
    let Change { expected, next, files } = change;
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(1, 0)").execute(&mut *transaction).await?;
    let row = sqlx::query(CHANGE)
        .bind(expected)
        .bind(next.at.as_millis())
        .bind(&next.by)
        .bind(next.action.as_str())
        .bind(next.active.as_ref().map(RuleSetDigest::as_str))
        .bind(next.candidate.as_ref().map(RuleSetDigest::as_str))
        .bind(decision_rows::rollout(next)?)
        .bind(files.map(|set| set.digest.as_str()))
        .bind(files.map(decision_rows::files).transpose()?)
        .bind(files.map(|set| set.created_at.as_millis()))
        .bind(files.map(|set| set.created_by.as_str()))
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(row) = row else {
        transaction.rollback().await?;
        return Ok(None);
    };
    marks::every_live(&mut transaction, next.at).await?;
    transaction.commit().await?;
    Ok(Some(RulesState { version: row.number("version")?, ..(*next).clone() }))
}
