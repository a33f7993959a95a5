//! Stores rule sets and the history of the rules.

use domain::RuleSetDigest;
use protocol::rules::{RuleSetFiles, RulesState};
use sqlx::SqliteConnection;

use super::marks;
use crate::{StoreError, decision_rows};

const HISTORY: &str = "SELECT version, at, author, action, active, candidate, rollout FROM rules_history
     WHERE version < ?1 ORDER BY version DESC LIMIT ?2";

pub(super) async fn current(connection: &mut SqliteConnection) -> Result<RulesState, StoreError> {
    let newest = history(connection, None, 1).await?.pop();
    Ok(newest.unwrap_or_else(decision_rows::no_rules))
}

pub(super) async fn history(
    connection: &mut SqliteConnection,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<RulesState>, StoreError> {
    let rows =
        sqlx::query(HISTORY).bind(before.unwrap_or(i64::MAX)).bind(limit).fetch_all(connection).await?;
    rows.iter().map(decision_rows::rules_state).collect()
}

pub(super) async fn set(
    connection: &mut SqliteConnection,
    digest: RuleSetDigest,
) -> Result<Option<RuleSetFiles>, StoreError> {
    let row = sqlx::query("SELECT digest, files, created_at, created_by FROM rule_sets WHERE digest = ?1")
        .bind(digest.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(decision_rows::rule_set).transpose()
}

pub(super) async fn change(
    connection: &mut SqliteConnection,
    expected: i64,
    next: RulesState,
    files: Option<RuleSetFiles>,
) -> Result<Option<RulesState>, StoreError> {
    if current(connection).await?.version != expected {
        return Ok(None);
    }
    if let Some(set) = &files {
        sqlx::query("INSERT INTO rule_sets VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")
            .bind(set.digest.as_str())
            .bind(decision_rows::files(set)?)
            .bind(set.created_at.as_millis())
            .bind(&set.created_by)
            .execute(&mut *connection)
            .await?;
    }
    let next = RulesState { version: expected + 1, ..next };
    sqlx::query("INSERT INTO rules_history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
        .bind(next.version)
        .bind(next.at.as_millis())
        .bind(&next.by)
        .bind(next.action.as_str())
        .bind(next.active.as_ref().map(RuleSetDigest::as_str))
        .bind(next.candidate.as_ref().map(RuleSetDigest::as_str))
        .bind(decision_rows::rollout(&next)?)
        .execute(&mut *connection)
        .await?;
    marks::every_live(connection, next.at).await?;
    Ok(Some(next))
}
