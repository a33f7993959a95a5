//! How does a grant change, and only from the state that was looked at?

use domain::grant::Moved;
use domain::{Lease, State};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::{creating, faults::corrupt, grants, shared, timeline};
use crate::{Beat, Guard, Saved, StoreError, Stored};

/// What must still be so for the change to be made.
#[derive(Debug)]
pub(super) struct Seen {
    id: GrantId,
    version: i64,
    last_beat: Option<Timestamp>,
}

impl Seen {
    pub(super) fn of(before: &Stored, guard: Guard) -> Self {
        let last_beat = match guard {
            Guard::Version => None,
            Guard::VersionAndSilence => before.lease.map(|lease| lease.last_beat),
        };
        Self { id: before.grant.id.clone(), version: before.version, last_beat }
    }
}

pub(super) async fn save(
    connection: &mut SqliteConnection,
    seen: Seen,
    moved: Moved,
) -> Result<Saved, StoreError> {
    let grant = moved.grant;
    let body = serde_json::to_string(&grant).map_err(|error| corrupt("a grant to be stored", error))?;
    // The lease's columns are not the caller's to write: a beat may have come since it read them.
    let changed = sqlx::query(
        "UPDATE grants SET status = ?1, due_at = ?2, body = ?3, version = version + 1, claimed_until = NULL,
                silent_at = CASE WHEN ?1 = ?4 THEN last_beat + beat_every * ?5 END
         WHERE id = ?6 AND version = ?7 AND (?8 IS NULL OR last_beat = ?8)
         RETURNING n, version, beat_every, last_beat,
                (SELECT seq FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS seq,
                (SELECT hash FROM events WHERE grant_n = n ORDER BY seq DESC LIMIT 1) AS hash",
    )
    .bind(grant.status().as_str())
    .bind(grant.due_at().map(Timestamp::as_millis))
    .bind(body)
    .bind(GrantStatus::Active.as_str())
    .bind(Lease::MISSED)
    .bind(seen.id.as_str())
    .bind(seen.version)
    .bind(seen.last_beat.map(Timestamp::as_millis))
    .fetch_all(&mut *connection)
    .await?;
    let Some(row) = changed.first() else { return Ok(Saved::Conflict) };
    let mut query = QueryBuilder::<Sqlite>::new("");
    timeline::push(&mut query, &grant.id, timeline::last_of(row)?, &moved.events)?;
    if let State::Applying { .. } = grant.state {
        creating::push_intents(&mut query, &grant);
        shared::push_needs(&mut query, &grant);
    }
    if let Some(at) = intents_closed_at(&grant.state) {
        query.push("UPDATE intents SET closed_at = ").push_bind(at.as_millis());
        query.push(" WHERE closed_at IS NULL AND grant_n = ").push_bind(row.try_get::<i64, _>("n")?);
    }
    query.build().execute(connection).await?;
    Ok(Saved::Done(Stored { lease: grants::lease(row)?, version: row.try_get("version")?, grant }))
}

/// The change that is told of here is done, or undone.
pub(super) fn intents_closed_at(state: &State) -> Option<Timestamp> {
    match state {
        State::Active { granted_at } => Some(*granted_at),
        State::Failed { ended_at, .. } => Some(*ended_at),
        State::Denied { .. }
        | State::Applying { .. }
        | State::Undoing { .. }
        | State::Revoking(_)
        | State::Settling(_)
        | State::Stuck(_)
        | State::Expired(_)
        | State::Revoked { .. } => None,
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
        return Ok(Beat::Heard(grants::read(row)?));
    }
    let ended = grants::find(connection, id)
        .await?
        .filter(|stored| stored.grant.agent_id == agent && stored.grant.key.as_ref() == Some(&key));
    Ok(ended.map_or(Beat::Unknown, Beat::Ended))
}
