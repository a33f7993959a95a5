//! Stores new grants, and the tombstones of revoked keys.

use std::num::NonZeroU32;

use domain::grant::Transition;
use domain::{AgentStatus, Grant, Lease, ReplayGuard};
use protocol::{AgentId, IdempotencyKey, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::batch::{Change, IF_PREVIOUS_CHANGED_ROWS};
use super::context::{self, Counted};
use super::decisions::{self, About};
use super::{grants, shared_objects, timeline};
use crate::chain::LastRow;
use crate::context_rows::Seen;
use crate::decision_rows::DecisionRow;
use crate::error::corrupt;
use crate::origin::Origin;
use crate::rows::{self, TokenUse};
use crate::{Created, GrantRecord, NewDecision, Reevaluation, RevokeByKey, StoreError};

// One text decides and writes: the conditions of the INSERT decide what is written, and the first SELECT says which
// answer the caller gets. The conformance suite holds the two to each other. A changed context has no column in the
// SELECT: it is what is left if nothing was written.

/// The decision about a new grant in the form in which it is stored.
pub(super) struct Decided {
    row: DecisionRow,
    seen: Seen,
    reevaluate_at: Option<Timestamp>,
}

impl Decided {
    pub(super) fn of(new: &NewDecision<'_>) -> Result<Self, StoreError> {
        let row = DecisionRow::of(new.decision)?;
        Ok(Self { row, seen: Seen::of(new), reevaluate_at: new.reevaluate_at })
    }

    fn reevaluation(&self) -> Option<Reevaluation> {
        self.reevaluate_at.map(|at| Reevaluation { at, mark: 0 })
    }
}

pub(super) async fn create(
    mut change: Change<'_>,
    transition: Transition,
    lease: Option<Lease>,
    replay: Option<ReplayGuard>,
    most_active: Option<NonZeroU32>,
    decided: Option<Decided>,
) -> Result<Created, StoreError> {
    let grant = &transition.grant;
    let reevaluation = decided.as_ref().and_then(Decided::reevaluation);
    let has_decision = decided.is_some();
    let used = replay.map(|guard| TokenUse::of(guard, grant));
    let mut text = change.statement();
    push_known(&mut text, grant, used.as_ref(), most_active);
    let last_row = push_grant(&mut text, &transition, lease, used.as_ref(), most_active, decided)?;
    let found = change.run_and_commit(text).await?;
    let known = found.first().ok_or_else(|| corrupt("the facts of a request", "found no row"))?;
    if known.try_get::<Option<&str>, _>("agent_status")? == Some(AgentStatus::Disabled.as_str()) {
        return Ok(Created::AgentDisabled);
    }
    if known.try_get("given_back")? {
        return Ok(Created::KeyRevoked);
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
    // The INSERT returned its row.
    let is_stored = found.len() > 1;
    if has_decision && !is_stored {
        return Ok(Created::ContextChanged);
    }
    let grant = transition.grant;
    Ok(Created::New(GrantRecord { grant, lease, version: 1, denials: None, reevaluation, last_row }))
}

pub(super) async fn revoke_key(
    connection: &mut SqliteConnection,
    agent: AgentId,
    key: IdempotencyKey,
    forget_after: Timestamp,
) -> Result<RevokeByKey, StoreError> {
    if let Some(stored) = grants::find_by_key(connection, agent.clone(), key.clone()).await? {
        return Ok(RevokeByKey::Grant(stored));
    }
    sqlx::query(
        "INSERT INTO idempotency_key_tombstones VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET forget_after = max(forget_after, excluded.forget_after)",
    )
    .bind(agent.as_str())
    .bind(key.as_str())
    .bind(forget_after.as_millis())
    .execute(connection)
    .await?;
    Ok(RevokeByKey::Tombstoned)
}

/// Adds the query for every fact that decides about a request.
pub(super) fn push_known(
    text: &mut QueryBuilder<Sqlite>,
    grant: &Grant,
    used: Option<&TokenUse>,
    most_active: Option<NonZeroU32>,
) {
    let (agent, key) = (grant.agent_id.to_string(), grant.key.as_ref().map(ToString::to_string));
    text.push("SELECT EXISTS (SELECT 1 FROM idempotency_key_tombstones WHERE agent_id = ")
        .push_bind(agent.clone());
    text.push(" AND idem_key = ").push_bind(key.clone());
    text.push(") AS given_back, (SELECT bound_to FROM consumed_oidc_tokens WHERE token_hash = ");
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
        " AS too_many, body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation,
             (SELECT seq FROM events WHERE grant_number = number ORDER BY seq DESC LIMIT 1) AS seq,
             (SELECT hash FROM events WHERE grant_number = number ORDER BY seq DESC LIMIT 1) AS hash
         FROM (SELECT 1) LEFT JOIN grants ON agent_id = ",
    );
    text.push_bind(agent).push(" AND idem_key = ").push_bind(key).push("; ");
}

/// Adds the condition that the run of this grant has `most` grants already.
pub(super) fn push_too_many(text: &mut QueryBuilder<Sqlite>, grant: &Grant, most: NonZeroU32) {
    text.push("(SELECT count(*) FROM grants WHERE agent_id = ").push_bind(grant.agent_id.to_string());
    text.push(" AND status IN ('pending_approval', 'applying', 'active')");
    if let Some(run) = &grant.run {
        text.push(" AND run IN ('', ").push_bind(run.clone()).push(")");
    }
    text.push(") >= ").push_bind(i64::from(most.get()));
}

/// Adds the statement that writes by what a grant is found, if the statement before it wrote the grant.
pub(super) fn push_origin(text: &mut QueryBuilder<Sqlite>, grant: &Grant) {
    let Origin { created_at, repository, commit, actor } = Origin::of(grant);
    text.push("INSERT INTO grant_origins SELECT number, ").push_bind(created_at.as_millis());
    text.push(", ").push_bind(repository).push(", ").push_bind(commit).push(", ").push_bind(actor);
    text.push(" FROM grants WHERE id = ").push_bind(grant.id.to_string());
    text.push(IF_PREVIOUS_CHANGED_ROWS).push("; ");
}

/// Adds the statements that write the grant, if nothing refuses it. A grant without a key is always written.
fn push_grant(
    text: &mut QueryBuilder<Sqlite>,
    transition: &Transition,
    lease: Option<Lease>,
    used: Option<&TokenUse>,
    most_active: Option<NonZeroU32>,
    decided: Option<Decided>,
) -> Result<Option<LastRow>, StoreError> {
    let grant = &transition.grant;
    text.push(
        "INSERT INTO grants (id, agent_id, idem_key, status, requested_at, due_at, heartbeat_interval, last_heartbeat,
                             lease_expires_at, version, body, run, break_glass, reevaluate_at) SELECT ",
    );
    text.separated(", ")
        .push_bind(grant.id.to_string())
        .push_bind(grant.agent_id.to_string())
        .push_bind(grant.key.as_ref().map(ToString::to_string))
        .push_bind(grant.status().as_str())
        .push_bind(grant.requested_at.as_millis())
        .push_bind(grant.due_at().map(Timestamp::as_millis))
        .push_bind(lease.as_ref().map(rows::heartbeat_interval))
        .push_bind(lease.map(|lease| lease.last_heartbeat.as_millis()))
        .push_bind(rows::lease_expires_at(grant, lease))
        .push_bind(1_i64)
        .push_bind(rows::body(grant)?)
        .push_bind(grant.run.clone().unwrap_or_default())
        .push_bind(grant.break_glass.is_some())
        .push_bind(decided.as_ref().and_then(|decided| decided.reevaluate_at).map(Timestamp::as_millis));
    text.push(" WHERE true");
    if let Some(key) = &grant.key {
        let (agent, key) = (grant.agent_id.to_string(), key.to_string());
        text.push(" AND NOT EXISTS (SELECT 1 FROM agents WHERE id = ").push_bind(agent.clone());
        text.push(" AND status = ").push_bind(AgentStatus::Disabled.as_str());
        text.push(") AND NOT EXISTS (SELECT 1 FROM idempotency_key_tombstones WHERE agent_id = ");
        text.push_bind(agent.clone()).push(" AND idem_key = ").push_bind(key.clone());
        text.push(") AND NOT EXISTS (SELECT 1 FROM grants WHERE agent_id = ").push_bind(agent);
        text.push(" AND idem_key = ").push_bind(key).push(")");
    }
    if let Some(used) = used {
        text.push(" AND NOT EXISTS (SELECT 1 FROM consumed_oidc_tokens WHERE token_hash = ");
        text.push_bind(used.guard.token_hash.clone());
        text.push(" AND bound_to <> ").push_bind(used.bound_to.clone()).push(")");
    }
    if let Some(most) = most_active {
        text.push(" AND NOT (");
        push_too_many(text, grant, most);
        text.push(")");
    }
    if let Some(decided) = &decided {
        let now = decided.seen.at;
        let counted = Counted { agent: &grant.agent_id, run: grant.run.as_deref(), except: None, now };
        text.push(" AND ");
        context::push_unchanged(text, &decided.seen, &counted);
    }
    text.push(" RETURNING 1; ");
    push_origin(text, grant);
    let last_row = timeline::push(text, &grant.id, IF_PREVIOUS_CHANGED_ROWS, None, &transition.events)?;
    if let Some(decided) = decided {
        let about = About::Grant(grant.id.clone());
        decisions::push(text, &about, IF_PREVIOUS_CHANGED_ROWS, decided.row);
        text.push("; ");
    }
    shared_objects::push_references(text, grant, IF_PREVIOUS_CHANGED_ROWS);
    // Last, because the row may exist, and the statements before depend on `changes()`.
    if let Some(used) = used {
        text.push("INSERT INTO consumed_oidc_tokens SELECT ").push_bind(used.guard.token_hash.clone());
        text.push(", ").push_bind(used.bound_to.clone());
        text.push(", ").push_bind(used.guard.forget_after.as_millis());
        text.push(" WHERE true").push(IF_PREVIOUS_CHANGED_ROWS).push(" ON CONFLICT DO NOTHING; ");
    }
    Ok(last_row)
}
