//! May this request have a new grant, and what is written for it before anything is done?

use std::num::NonZeroU32;

use domain::grant::Moved;
use domain::{AgentStatus, Grant, Lease, ReplayGuard};
use protocol::{AgentId, IdempotencyKey, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::change::{Change, IF_THE_LAST_DID};
use super::{grants, shared, timeline};
use crate::chain::LastRow;
use crate::faults::corrupt;
use crate::rows::{self, Use};
use crate::{Created, KeyGivenBack, StoreError, Stored};

// A request is looked at and its grant is written in one text: whether it may have one is decided twice, by the
// statements for what is written, and here for what is answered.

pub(super) async fn create(
    mut change: Change<'_>,
    moved: Moved,
    lease: Option<Lease>,
    replay: Option<ReplayGuard>,
    most_active: Option<NonZeroU32>,
) -> Result<Created, StoreError> {
    let grant = &moved.grant;
    let used = replay.map(|guard| Use::of(guard, grant));
    let mut text = change.text();
    push_known(&mut text, grant, used.as_ref(), most_active);
    let last_row = push_grant(&mut text, &moved, lease, used.as_ref(), most_active)?;
    let found = change.run_last(text).await?;
    let known = found.first().ok_or_else(|| corrupt("what is known of a request", "found no row"))?;
    if known.try_get::<Option<&str>, _>("agent_status")? == Some(AgentStatus::Disabled.as_str()) {
        return Ok(Created::AgentDisabled);
    }
    if known.try_get("given_back")? {
        return Ok(Created::Cancelled);
    }
    if known.try_get::<Option<&str>, _>("body")?.is_some() {
        let existing = rows::grant_with_last_row(known)?;
        let same = existing.grant.request_hash == grant.request_hash;
        return Ok(if same { Created::Joined(existing) } else { Created::KeyConflict });
    }
    let bound_to = known.try_get::<Option<&str>, _>("bound_to")?;
    if bound_to.is_some_and(|bound_to| used.as_ref().is_some_and(|used| used.bound_to != bound_to)) {
        return Ok(Created::Replayed);
    }
    if known.try_get("too_many")? {
        return Ok(Created::TooManyActive);
    }
    Ok(Created::New(Stored { grant: moved.grant, lease, version: 1, denials: None, last_row }))
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

/// All that decides about a request, in one look.
pub(super) fn push_known(
    text: &mut QueryBuilder<Sqlite>,
    grant: &Grant,
    used: Option<&Use>,
    most_active: Option<NonZeroU32>,
) {
    let (agent, key) = (grant.agent_id.to_string(), grant.key.as_ref().map(ToString::to_string));
    text.push("SELECT EXISTS (SELECT 1 FROM given_back_keys WHERE agent_id = ").push_bind(agent.clone());
    text.push(" AND idem_key = ").push_bind(key.clone());
    text.push(") AS given_back, (SELECT bound_to FROM used_tokens WHERE token_hash = ");
    text.push_bind(used.map(|used| used.guard.token_hash.clone()));
    text.push(") AS bound_to, (SELECT status FROM agents WHERE id = ").push_bind(agent.clone());
    text.push(") AS agent_status, ");
    match most_active {
        Some(most) => push_too_many(text, grant, most),
        None => {
            text.push("false");
        }
    }
    text.push(
        " AS too_many, body, version, beat_every, last_beat,
             (SELECT seq FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS seq,
             (SELECT hash FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS hash
         FROM (SELECT 1) LEFT JOIN grants ON agent_id = ",
    );
    text.push_bind(agent).push(" AND idem_key = ").push_bind(key).push("; ");
}

/// Whether the run of this grant has so many already.
pub(super) fn push_too_many(text: &mut QueryBuilder<Sqlite>, grant: &Grant, most: NonZeroU32) {
    text.push("(SELECT count(*) FROM grants WHERE agent_id = ").push_bind(grant.agent_id.to_string());
    text.push(" AND status IN ('applying', 'active')");
    if let Some(run) = &grant.run {
        text.push(" AND run IN ('', ").push_bind(run.clone()).push(")");
    }
    text.push(") >= ").push_bind(i64::from(most.get()));
}

/// For a grant without a key there is nothing to ask.
fn push_grant(
    text: &mut QueryBuilder<Sqlite>,
    moved: &Moved,
    lease: Option<Lease>,
    used: Option<&Use>,
    most_active: Option<NonZeroU32>,
) -> Result<Option<LastRow>, StoreError> {
    let grant = &moved.grant;
    text.push(
        "INSERT INTO grants (id, agent_id, idem_key, status, requested_at, due_at, beat_every, last_beat,
                             silent_at, version, body, run) SELECT ",
    );
    text.separated(", ")
        .push_bind(grant.id.to_string())
        .push_bind(grant.agent_id.to_string())
        .push_bind(grant.key.as_ref().map(ToString::to_string))
        .push_bind(grant.status().as_str())
        .push_bind(grant.requested_at.as_millis())
        .push_bind(grant.due_at().map(Timestamp::as_millis))
        .push_bind(lease.as_ref().map(rows::beat_every))
        .push_bind(lease.map(|lease| lease.last_beat.as_millis()))
        .push_bind(rows::silent_at(grant, lease))
        .push_bind(1_i64)
        .push_bind(rows::body(grant)?)
        .push_bind(grant.run.clone().unwrap_or_default());
    text.push(" WHERE true");
    if let Some(key) = &grant.key {
        let (agent, key) = (grant.agent_id.to_string(), key.to_string());
        text.push(" AND NOT EXISTS (SELECT 1 FROM agents WHERE id = ").push_bind(agent.clone());
        text.push(" AND status = ").push_bind(AgentStatus::Disabled.as_str());
        text.push(") AND NOT EXISTS (SELECT 1 FROM given_back_keys WHERE agent_id = ");
        text.push_bind(agent.clone()).push(" AND idem_key = ").push_bind(key.clone());
        text.push(") AND NOT EXISTS (SELECT 1 FROM grants WHERE agent_id = ").push_bind(agent);
        text.push(" AND idem_key = ").push_bind(key).push(")");
    }
    if let Some(used) = used {
        text.push(" AND NOT EXISTS (SELECT 1 FROM used_tokens WHERE token_hash = ");
        text.push_bind(used.guard.token_hash.clone());
        text.push(" AND bound_to <> ").push_bind(used.bound_to.clone()).push(")");
    }
    if let Some(most) = most_active {
        text.push(" AND NOT (");
        push_too_many(text, grant, most);
        text.push(")");
    }
    text.push("; ");
    let last_row = timeline::push(text, &grant.id, IF_THE_LAST_DID, None, &moved.events)?;
    shared::push_needs(text, grant, IF_THE_LAST_DID);
    // At the end, because it may be there already.
    if let Some(used) = used {
        text.push("INSERT INTO used_tokens SELECT ").push_bind(used.guard.token_hash.clone());
        text.push(", ").push_bind(used.bound_to.clone());
        text.push(", ").push_bind(used.guard.forget_after.as_millis());
        text.push(" WHERE true").push(IF_THE_LAST_DID).push(" ON CONFLICT DO NOTHING; ");
    }
    Ok(last_row)
}
