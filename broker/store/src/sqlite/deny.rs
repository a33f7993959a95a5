//! Records a denied request once, and counts its repetitions.

use domain::grant::Transition;
use domain::{Decision, ReplayGuard};
use protocol::Timestamp;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::batch::{Change, IF_PREVIOUS_CHANGED_ROWS};
use super::create::push_origin;
use super::decisions::About;
use super::purge::{BATCH_SIZE, More};
use super::{decisions, timeline};
use crate::columns::Columns;
use crate::decision_rows::DecisionRow;
use crate::error::corrupt;
use crate::rows::{self, TokenUse};
use crate::{DENIALS_KEPT, DenialOutcome, DeniedRequest, StoreError};

pub(super) struct Wanted {
    transition: Transition,
    used: Option<TokenUse>,
    decision: Option<Decision>,
}

impl From<DeniedRequest<'_>> for Wanted {
    fn from(denying: DeniedRequest<'_>) -> Self {
        let DeniedRequest { transition, key, replay, decision } = denying;
        let used = |guard: &ReplayGuard| TokenUse::by(guard.clone(), &transition.grant.agent_id, Some(key));
        Self { transition: transition.clone(), used: replay.map(used), decision: decision.cloned() }
    }
}

// There is one writer, so the facts of the first text still hold when the second text runs.

pub(super) async fn record(mut change: Change<'_>, wanted: Wanted) -> Result<DenialOutcome, StoreError> {
    let Wanted { transition, used, decision } = wanted;
    let (agent, hash) = (transition.grant.agent_id.to_string(), transition.grant.request_hash.clone());
    let mut text = change.statement();
    text.push("SELECT (SELECT bound_to FROM consumed_oidc_tokens WHERE token_hash = ");
    text.push_bind(used.as_ref().map(|used| used.guard.token_hash.clone()));
    text.push(") AS bound_to, EXISTS (SELECT 1 FROM grants WHERE agent_id = ").push_bind(agent.clone());
    text.push(" AND denied_hash = ").push_bind(hash.clone());
    text.push(") AS known, (SELECT count(*) FROM grants WHERE denied_hash IS NOT NULL AND agent_id = ");
    text.push_bind(agent.clone()).push(") AS kept; ");
    let found = change.run(text).await?;
    let found = found.first().ok_or_else(|| corrupt("the facts of a denied request", "found no row"))?;
    let bound_to = found.maybe_text("bound_to")?;
    if bound_to.is_some_and(|bound_to| used.as_ref().is_some_and(|used| used.bound_to != bound_to)) {
        return Ok(DenialOutcome::Replayed);
    }
    let mut text = change.statement();
    if let Some(TokenUse { guard, bound_to }) = used {
        text.push("INSERT INTO consumed_oidc_tokens SELECT ").push_bind(guard.token_hash);
        text.push(", ").push_bind(bound_to).push(", ").push_bind(guard.forget_after.as_millis());
        text.push(" WHERE true ON CONFLICT DO NOTHING; ");
    }
    let recorded = if found.try_get("known")? {
        text.push("UPDATE grants SET denials = denials + 1, denied_at = max(denied_at, ");
        text.push_bind(transition.grant.requested_at.as_millis())
            .push(") WHERE agent_id = ")
            .push_bind(agent);
        text.push(" AND denied_hash = ").push_bind(hash).push("; ");
        DenialOutcome::Again
    } else if found.number("kept")? >= i64::from(DENIALS_KEPT) {
        DenialOutcome::Full
    } else {
        push_denied(&mut text, &transition)?;
        if let Some(decision) = &decision {
            let about = About::Grant(transition.grant.id.clone());
            decisions::push(&mut text, &about, "", DecisionRow::of(decision)?);
            text.push("; ");
        }
        DenialOutcome::New
    };
    change.run_and_commit(text).await?;
    Ok(recorded)
}

fn push_denied(text: &mut QueryBuilder<Sqlite>, transition: &Transition) -> Result<(), StoreError> {
    let grant = &transition.grant;
    text.push(
        "INSERT INTO grants (id, agent_id, status, version, body, denied_hash, denials, denied_at)
         SELECT ",
    );
    text.separated(", ")
        .push_bind(grant.id.to_string())
        .push_bind(grant.agent_id.to_string())
        .push_bind(grant.status().as_str())
        .push_bind(1_i64)
        .push_bind(rows::body(grant)?)
        .push_bind(grant.request_hash.clone())
        .push_bind(1_i64)
        .push_bind(grant.requested_at.as_millis());
    text.push("; ");
    push_origin(text, grant);
    timeline::push(text, &grant.id, IF_PREVIOUS_CHANGED_ROWS, None, &transition.events)?;
    Ok(())
}

/// Deletes a batch of requests that were not denied again since, with their timelines.
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

macro_rules! of_the_forgotten {
    ($delete:literal) => {
        concat!(
            $delete,
            " IN (SELECT number FROM grants WHERE status = 'denied' AND denied_at <= ?1
                    AND number <> (SELECT grant_number FROM events ORDER BY position DESC LIMIT 1)
                    AND number < (SELECT max(number) FROM grants)
                  ORDER BY denied_at, number LIMIT ?2)"
        )
    };
}

/// Grants last, because the others refer to them. The grant of the last event and the last grant stay, so that no position
/// and no number is used again.
pub(super) const FORGET: [&str; 3] = [
    of_the_forgotten!("DELETE FROM grant_origins WHERE grant_number"),
    of_the_forgotten!("DELETE FROM events WHERE grant_number"),
    of_the_forgotten!("DELETE FROM grants WHERE number"),
];
