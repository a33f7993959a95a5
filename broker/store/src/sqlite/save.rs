//! Saves transitions and heartbeats of grants.

use domain::grant::Transition;
use domain::{Grant, Lease, State};
use protocol::{AgentId, GrantId, IdempotencyKey, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::batch::{Change, IF_PREVIOUS_CHANGED_ROWS};
use super::{grants, shared_objects, timeline};
use crate::chain::LastRow;
use crate::rows::{self, Expected};
use crate::{AfterUpdate, GrantRecord, HeartbeatOutcome, Release, SaveOutcome, StoreError};

pub(super) async fn save(
    mut change: Change<'_>,
    expected: Expected,
    transition: Transition,
    release: Option<Release>,
) -> Result<SaveOutcome, StoreError> {
    if let Some(last) = last_row_for_single_batch(&expected, &transition)
        && let Some(stored) =
            single_batch(&mut change, &expected, &transition, last, release.as_ref()).await?
    {
        return Ok(SaveOutcome::Done(stored));
    }
    if let Some(release) = &release {
        let mut text = change.statement();
        push_release(&mut text, release);
        text.push(" RETURNING 1; ");
        if change.run(text).await?.is_empty() {
            return Ok(SaveOutcome::LockLost);
        }
    }
    lock_then_save(change, &expected, transition).await
}

/// The last event, if the save can be one batch: it was read with the grant, and the transition adds no steps.
fn last_row_for_single_batch<'s>(expected: &'s Expected, transition: &Transition) -> Option<&'s LastRow> {
    let may_have_more_steps = matches!(transition.grant.state, State::Applying { .. });
    expected.last_row.as_ref().filter(|_| !may_have_more_steps)
}

/// Saves in one text if the grant, its timeline and the lock are as they were read; otherwise changes nothing.
async fn single_batch(
    change: &mut Change<'_>,
    expected: &Expected,
    transition: &Transition,
    last: &LastRow,
    release: Option<&Release>,
) -> Result<Option<GrantRecord>, StoreError> {
    let Transition { grant, events } = transition;
    let mut text = change.statement();
    if let Some(release) = release {
        push_release(&mut text, release);
        text.push(" AND EXISTS (SELECT 1 FROM grants");
        push_seen(&mut text, expected);
        push_last(&mut text, last);
        text.push("); ");
    }
    push_update(&mut text, expected, grant)?;
    push_last(&mut text, last);
    text.push(release.map_or("", |_| IF_PREVIOUS_CHANGED_ROWS)).push(RETURNING);
    let last_row =
        timeline::push(&mut text, &grant.id, IF_PREVIOUS_CHANGED_ROWS, Some(last.clone()), events)?;
    shared_objects::push_reference_removal(&mut text, grant);
    let rows = change.run_and_commit(text).await?;
    rows.first().map(|row| rows::saved(row, grant.clone(), last_row)).transpose()
}

async fn lock_then_save(
    mut change: Change<'_>,
    expected: &Expected,
    transition: Transition,
) -> Result<SaveOutcome, StoreError> {
    let Transition { grant, events } = transition;
    let mut text = change.statement();
    push_update(&mut text, expected, &grant)?;
    text.push(RETURNING);
    let changed = change.run(text).await?;
    let Some(row) = changed.first() else { return Ok(SaveOutcome::Conflict) };
    let mut text = change.statement();
    let last_row = timeline::push(&mut text, &grant.id, "", LastRow::read(row)?, &events)?;
    if matches!(grant.state, State::Applying { .. }) {
        shared_objects::push_references(&mut text, &grant, "");
    }
    shared_objects::push_reference_removal(&mut text, &grant);
    let stored = rows::saved(row, grant, last_row)?;
    change.run_and_commit(text).await?;
    Ok(SaveOutcome::Done(stored))
}

fn push_release(text: &mut QueryBuilder<Sqlite>, release: &Release) {
    let Release { lock, ownership, delete_may_land_until } = release;
    shared_objects::push_update(text, lock, *ownership, *delete_may_land_until, AfterUpdate::ReleaseLock);
}

fn push_last(text: &mut QueryBuilder<Sqlite>, last: &LastRow) {
    text.push(" AND (SELECT max(seq) FROM events WHERE grant_number = number) = ").push_bind(last.seq);
}

/// With the last event before this change.
const RETURNING: &str = " RETURNING version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation,
            (SELECT seq FROM events WHERE grant_number = number ORDER BY seq DESC LIMIT 1) AS seq,
            (SELECT hash FROM events WHERE grant_number = number ORDER BY seq DESC LIMIT 1) AS hash; ";

fn push_update(
    text: &mut QueryBuilder<Sqlite>,
    expected: &Expected,
    grant: &Grant,
) -> Result<(), StoreError> {
    text.push("UPDATE grants SET version = version + 1, claimed_until = NULL, status = ");
    text.push_bind(grant.status().as_str());
    text.push(", due_at = ").push_bind(grant.due_at().map(Timestamp::as_millis));
    text.push(", body = ").push_bind(rows::body(grant)?);
    // The last heartbeat may be newer than the one that the driver read.
    match grant.needs_heartbeats() {
        true => {
            text.push(", lease_expires_at = last_heartbeat + heartbeat_interval * ").push_bind(Lease::MISSED)
        }
        false => text.push(", lease_expires_at = NULL"),
    };
    if !matches!(grant.state, State::Waiting(_) | State::Applying { .. } | State::Active { .. }) {
        text.push(", reevaluate_at = NULL");
    }
    // For the lock on shared objects and for counts of the last hour, a grant that waited begins when it is collected.
    if grant.approval.is_some() {
        text.push(", requested_at = ").push_bind(grant.begins_at().as_millis());
    }
    push_seen(text, expected);
    Ok(())
}

fn push_seen(text: &mut QueryBuilder<Sqlite>, expected: &Expected) {
    text.push(" WHERE id = ").push_bind(expected.id.to_string());
    text.push(" AND version = ").push_bind(expected.version);
    if let Some(last_heartbeat) = expected.last_heartbeat {
        text.push(" AND last_heartbeat = ").push_bind(last_heartbeat.as_millis());
    }
}

pub(super) async fn heartbeat(
    connection: &mut SqliteConnection,
    id: GrantId,
    agent: AgentId,
    key: IdempotencyKey,
    now: Timestamp,
) -> Result<HeartbeatOutcome, StoreError> {
    let heard = sqlx::query(
        "UPDATE grants SET last_heartbeat = max(last_heartbeat, ?4), lease_expires_at = max(last_heartbeat, ?4) + heartbeat_interval * ?5
         WHERE id = ?1 AND agent_id = ?2 AND idem_key = ?3 AND status IN ('pending_approval', 'active')
         RETURNING body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation",
    )
    .bind(id.as_str())
    .bind(agent.as_str())
    .bind(key.as_str())
    .bind(now.as_millis())
    .bind(Lease::MISSED)
    .fetch_all(&mut *connection)
    .await?;
    if let Some(row) = heard.first() {
        return Ok(HeartbeatOutcome::Recorded(rows::grant(row)?));
    }
    let ended = grants::find(connection, id)
        .await?
        .filter(|stored| stored.grant.agent_id == agent && stored.grant.key.as_ref() == Some(&key));
    Ok(ended.map_or(HeartbeatOutcome::Unknown, HeartbeatOutcome::Ended))
}
