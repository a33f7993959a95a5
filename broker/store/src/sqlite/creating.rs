//! May this request have a new grant, and what is written for it before anything is done?

use domain::grant::Moved;
use domain::{AgentStatus, Grant, Lease, ReplayGuard, State};
use protocol::{AgentId, IdempotencyKey, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::{faults::corrupt, grants, saving, shared, timeline};
use crate::{Created, KeyGivenBack, StoreError, Stored};

/// All that decides about a request, in one look.
pub(super) const KNOWN: &str =
    "SELECT EXISTS (SELECT 1 FROM given_back_keys WHERE agent_id = ?1 AND idem_key = ?2) AS given_back,
                (SELECT bound_to FROM used_tokens WHERE token_hash = ?3) AS bound_to,
                (SELECT status FROM agents WHERE id = ?1) AS agent_status,
                body, version, beat_every, last_beat
         FROM (SELECT 1) LEFT JOIN grants ON agent_id = ?1 AND idem_key = ?2";

pub(super) async fn create(
    connection: &mut SqliteConnection,
    moved: Moved,
    lease: Option<Lease>,
    replay: Option<ReplayGuard>,
) -> Result<Created, StoreError> {
    let grant = &moved.grant;
    let known = sqlx::query(KNOWN)
        .bind(grant.agent_id.as_str())
        .bind(grant.key.as_ref().map(IdempotencyKey::as_str))
        .bind(replay.as_ref().map(|guard| &guard.token_hash))
        .fetch_one(&mut *connection)
        .await?;
    if known.try_get::<Option<&str>, _>("agent_status")? == Some(AgentStatus::Disabled.as_str()) {
        return Ok(Created::AgentDisabled);
    }
    if known.try_get("given_back")? {
        return Ok(Created::Cancelled);
    }
    if known.try_get::<Option<&str>, _>("body")?.is_some() {
        let existing = grants::read(&known)?;
        let same = existing.grant.request_hash == grant.request_hash;
        return Ok(if same { Created::Joined(existing) } else { Created::KeyConflict });
    }
    let mut query = QueryBuilder::new("");
    if let Some(guard) = replay {
        let binding = binding(&guard, grant);
        match known.try_get::<Option<&str>, _>("bound_to")? {
            Some(bound_to) if bound_to == binding => {}
            Some(_) => return Ok(Created::Replayed),
            None => push_use(&mut query, guard, binding),
        }
    }
    push_grant(&mut query, &moved, lease)?;
    query.build().execute(connection).await?;
    Ok(Created::New(Stored { grant: moved.grant, lease, version: 1 }))
}

pub(super) async fn record(connection: &mut SqliteConnection, moved: Moved) -> Result<(), StoreError> {
    let mut query = QueryBuilder::new("");
    push_grant(&mut query, &moved, None)?;
    query.build().execute(connection).await?;
    Ok(())
}

pub(super) async fn give_key_back(
    connection: &mut SqliteConnection,
    agent: AgentId,
    key: IdempotencyKey,
    forget_after: Timestamp,
) -> Result<KeyGivenBack, StoreError> {
    if let Some(stored) = grants::find_by_key(connection, agent.clone(), key.clone()).await? {
        return Ok(KeyGivenBack::Grant(stored));
    }
    sqlx::query(
        "INSERT INTO given_back_keys VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET forget_after = max(forget_after, excluded.forget_after)",
    )
    .bind(agent.as_str())
    .bind(key.as_str())
    .bind(forget_after.as_millis())
    .execute(connection)
    .await?;
    Ok(KeyGivenBack::Noted)
}

/// The beginning keeps the two apart: no job can be named like another agent's key.
fn binding(guard: &ReplayGuard, grant: &Grant) -> String {
    match &guard.bound_to {
        Some(job) => format!("job {job}"),
        None => {
            let key = grant.key.as_ref().map_or("", IdempotencyKey::as_str);
            format!("once {} {key}", grant.agent_id)
        }
    }
}

// All that is written for one request is one text of several statements: handing a text to the connection's
// thread and waiting for it costs more than what the statements do.

fn push_use(query: &mut QueryBuilder<Sqlite>, guard: ReplayGuard, binding: String) {
    query.push("INSERT INTO used_tokens ");
    query.push_values([guard], |mut row, guard| {
        row.push_bind(guard.token_hash).push_bind(binding.clone()).push_bind(guard.forget_after.as_millis());
    });
    query.push("; ");
}

fn push_grant(
    query: &mut QueryBuilder<Sqlite>,
    moved: &Moved,
    lease: Option<Lease>,
) -> Result<(), StoreError> {
    let grant = &moved.grant;
    let body = serde_json::to_string(grant).map_err(|error| corrupt("a grant to be stored", error))?;
    query.push(
        "INSERT INTO grants (id, agent_id, idem_key, status, requested_at, due_at, beat_every, last_beat,
                             silent_at, version, body) ",
    );
    query.push_values([body], |mut row, body| {
        row.push_bind(grant.id.to_string())
            .push_bind(grant.agent_id.to_string())
            .push_bind(grant.key.as_ref().map(ToString::to_string))
            .push_bind(grant.status().as_str())
            .push_bind(grant.requested_at.as_millis())
            .push_bind(grant.due_at().map(Timestamp::as_millis))
            .push_bind(lease.as_ref().map(grants::beat_every))
            .push_bind(lease.map(|lease| lease.last_beat.as_millis()))
            .push_bind(silent_at(grant, lease))
            .push_bind(1_i64)
            .push_bind(body);
    });
    query.push("; ");
    push_intents(query, grant);
    shared::push_needs(query, grant);
    timeline::push(query, &grant.id, None, &moved.events)
}

/// Only an active grant needs its holder.
fn silent_at(grant: &Grant, lease: Option<Lease>) -> Option<i64> {
    let active = matches!(grant.state, State::Active { .. });
    lease.filter(|_| active).map(|lease| lease.silent_at().as_millis())
}

/// One for each step; those that are there already stay as they are.
pub(super) fn push_intents(query: &mut QueryBuilder<Sqlite>, grant: &Grant) {
    if grant.steps.is_empty() {
        return;
    }
    let closed_at = saving::intents_closed_at(&grant.state).map(Timestamp::as_millis);
    query.push("INSERT OR IGNORE INTO intents (grant_n, step, action, object, opened_at, closed_at) ");
    query.push_values((1_i64..).zip(&grant.steps), |mut row, (number, step)| {
        row.push("(SELECT n FROM grants WHERE id = ")
            .push_bind_unseparated(grant.id.to_string())
            .push_unseparated(")")
            .push_bind(number)
            .push_bind(step.action.clone())
            .push_bind(step.object.clone())
            .push_bind(grant.requested_at.as_millis())
            .push_bind(closed_at);
    });
    query.push("; ");
}
