//! How does a grant change, and only from the state that was looked at?

use domain::grant::Moved;
use domain::{Grant, Lease, State};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::change::{Change, IF_THE_LAST_DID};
use super::{grants, shared, timeline};
use crate::chain::LastRow;
use crate::rows::{self, Seen};
use crate::{Beat, Release, SaveOutcome, StoreError, Stored, Then};

pub(super) async fn save(
    mut change: Change<'_>,
    seen: Seen,
    moved: Moved,
    release: Option<Release>,
) -> Result<SaveOutcome, StoreError> {
    if let Some(last) = usual(&seen, &moved)
        && let Some(stored) = at_once(&mut change, &seen, &moved, last, release.as_ref()).await?
    {
        return Ok(SaveOutcome::Done(stored));
    }
    if let Some(release) = &release {
        let mut text = change.text();
        push_release(&mut text, release);
        text.push(" RETURNING 1; ");
        if change.run(text).await?.is_empty() {
            return Ok(SaveOutcome::LockLost);
        }
    }
    step_by_step(change, &seen, moved).await
}

/// The last row, if nobody is likely to have written to the timeline since it was read, and steps were not added.
fn usual<'s>(seen: &'s Seen, moved: &Moved) -> Option<&'s LastRow> {
    let may_have_more_steps = matches!(moved.grant.state, State::Applying { .. });
    seen.last_row.as_ref().filter(|_| !may_have_more_steps)
}

/// In one text, if everything is as it was seen; else nothing is done.
async fn at_once(
    change: &mut Change<'_>,
    seen: &Seen,
    moved: &Moved,
    last: &LastRow,
    release: Option<&Release>,
) -> Result<Option<Stored>, StoreError> {
    let Moved { grant, events } = moved;
    let mut text = change.text();
    if let Some(release) = release {
        push_release(&mut text, release);
        text.push(" AND EXISTS (SELECT 1 FROM grants");
        push_seen(&mut text, seen);
        push_last(&mut text, last);
        text.push("); ");
    }
    push_update(&mut text, seen, grant)?;
    push_last(&mut text, last);
    text.push(release.map_or("", |_| IF_THE_LAST_DID)).push(RETURNING);
    let last_row = timeline::push(&mut text, &grant.id, IF_THE_LAST_DID, Some(last.clone()), events)?;
    shared::push_no_needs(&mut text, grant);
    let rows = change.run_last(text).await?;
    rows.first().map(|row| rows::saved(row, grant.clone(), last_row)).transpose()
}

async fn step_by_step(mut change: Change<'_>, seen: &Seen, moved: Moved) -> Result<SaveOutcome, StoreError> {
    let Moved { grant, events } = moved;
    let mut text = change.text();
    push_update(&mut text, seen, &grant)?;
    text.push(RETURNING);
    let changed = change.run(text).await?;
    let Some(row) = changed.first() else { return Ok(SaveOutcome::Conflict) };
    let mut text = change.text();
    let last_row = timeline::push(&mut text, &grant.id, "", LastRow::read(row)?, &events)?;
    if matches!(grant.state, State::Applying { .. }) {
        shared::push_needs(&mut text, &grant, "");
    }
    shared::push_no_needs(&mut text, &grant);
    let stored = rows::saved(row, grant, last_row)?;
    change.run_last(text).await?;
    Ok(SaveOutcome::Done(stored))
}

fn push_release(text: &mut QueryBuilder<Sqlite>, release: &Release) {
    let Release { hold, whose, may_go_until } = release;
    shared::push_note(text, hold, *whose, *may_go_until, Then::Release);
}

fn push_last(text: &mut QueryBuilder<Sqlite>, last: &LastRow) {
    text.push(" AND (SELECT max(seq) FROM events WHERE grant_n = n) = ").push_bind(last.seq);
}

/// With the last row as it was before this change.
const RETURNING: &str = " RETURNING version, beat_every, last_beat,
            (SELECT seq FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS seq,
            (SELECT hash FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS hash; ";

fn push_update(text: &mut QueryBuilder<Sqlite>, seen: &Seen, grant: &Grant) -> Result<(), StoreError> {
    text.push("UPDATE grants SET version = version + 1, claimed_until = NULL, status = ");
    text.push_bind(grant.status().as_str());
    text.push(", due_at = ").push_bind(grant.due_at().map(Timestamp::as_millis));
    text.push(", body = ").push_bind(rows::body(grant)?);
    // The lease's columns are not the caller's to write: a beat may have come since it read them.
    match grant.status() == GrantStatus::Active {
        true => text.push(", silent_at = last_beat + beat_every * ").push_bind(Lease::MISSED),
        false => text.push(", silent_at = NULL"),
    };
    push_seen(text, seen);
    Ok(())
}

fn push_seen(text: &mut QueryBuilder<Sqlite>, seen: &Seen) {
    text.push(" WHERE id = ").push_bind(seen.id.to_string());
    text.push(" AND version = ").push_bind(seen.version);
    if let Some(last_beat) = seen.last_beat {
        text.push(" AND last_beat = ").push_bind(last_beat.as_millis());
    }
}

pub(super) async fn beat(
    connection: &mut SqliteConnection,
    id: GrantId,
    agent: AgentId,
    key: IdempotencyKey,
    now: Timestamp,
) -> Result<Beat, StoreError> {
    let heard = sqlx::query(
        "UPDATE grants SET last_beat = max(last_beat, ?4), silent_at = max(last_beat, ?4) + beat_every * ?6
         WHERE id = ?1 AND agent_id = ?2 AND idem_key = ?3 AND status = ?5
         RETURNING body, version, beat_every, last_beat",
    )
    .bind(id.as_str())
    .bind(agent.as_str())
    .bind(key.as_str())
    .bind(now.as_millis())
    .bind(GrantStatus::Active.as_str())
    .bind(Lease::MISSED)
    .fetch_all(&mut *connection)
    .await?;
    if let Some(row) = heard.first() {
        return Ok(Beat::Heard(rows::grant(row)?));
    }
    let ended = grants::find(connection, id)
        .await?
        .filter(|stored| stored.grant.agent_id == agent && stored.grant.key.as_ref() == Some(&key));
    Ok(ended.map_or(Beat::Unknown, Beat::Ended))
}
