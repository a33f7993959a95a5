//! May this request have a new grant, and what is written for it before anything is done?

use domain::grant::Moved;
use domain::{AgentStatus, Grant, Lease, ReplayGuard};
use protocol::{AgentId, IdempotencyKey, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::{faults::corrupt, grants, timeline};
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
    if let Some(guard) = replay {
        let binding = binding(&guard, grant);
        match known.try_get::<Option<&str>, _>("bound_to")? {
            Some(bound_to) if bound_to == binding => {}
            Some(_) => return Ok(Created::Replayed),
            None => use_token(connection, &guard, &binding).await?,
        }
    }
    insert(connection, &moved, lease).await?;
    Ok(Created::New(Stored { grant: moved.grant, lease, version: 1 }))
}

pub(super) async fn record(connection: &mut SqliteConnection, moved: Moved) -> Result<(), StoreError> {
    insert(connection, &moved, None).await
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

async fn use_token(
    connection: &mut SqliteConnection,
    guard: &ReplayGuard,
    binding: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO used_tokens VALUES (?1, ?2, ?3)")
        .bind(&guard.token_hash)
        .bind(binding)
        .bind(guard.forget_after.as_millis())
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert(
    connection: &mut SqliteConnection,
    moved: &Moved,
    lease: Option<Lease>,
) -> Result<(), StoreError> {
    let grant = &moved.grant;
    let body = serde_json::to_string(grant).map_err(|error| corrupt("a grant to be stored", error))?;
    let inserted = sqlx::query(
        "INSERT INTO grants (id, agent_id, idem_key, status, requested_at, due_at, beat_every, last_beat,
                             version, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9)",
    )
    .bind(grant.id.as_str())
    .bind(grant.agent_id.as_str())
    .bind(grant.key.as_ref().map(IdempotencyKey::as_str))
    .bind(grant.status().as_str())
    .bind(grant.requested_at.as_millis())
    .bind(grant.due_at().map(Timestamp::as_millis))
    .bind(lease.as_ref().map(grants::beat_every))
    .bind(lease.map(|lease| lease.last_beat.as_millis()))
    .bind(body)
    .execute(&mut *connection)
    .await?;
    let n = inserted.last_insert_rowid();
    open_intents(connection, n, grant).await?;
    timeline::append(connection, n, &grant.id, None, &moved.events).await
}

async fn open_intents(connection: &mut SqliteConnection, n: i64, grant: &Grant) -> Result<(), StoreError> {
    if grant.steps.is_empty() {
        return Ok(());
    }
    let mut query =
        QueryBuilder::<Sqlite>::new("INSERT INTO intents (grant_n, step, action, object, opened_at) ");
    query.push_values((1_i64..).zip(&grant.steps), |mut row, (number, step)| {
        row.push_bind(n)
            .push_bind(number)
            .push_bind(&step.action)
            .push_bind(&step.object)
            .push_bind(grant.requested_at.as_millis());
    });
    query.build().execute(connection).await?;
    Ok(())
}
