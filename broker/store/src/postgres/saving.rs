//! How does a grant change, and only from the state that was looked at?

use domain::grant::Moved;
use domain::{Lease, State};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};

use super::grants;
use super::written::{Events, Steps, millis};
use crate::chain::{self, LastRow};
use crate::rows::{self, Seen};
use crate::{Beat, Saved, StoreError};

/// The lease's columns are not the caller's to write: a beat may have come since it read them.
const SAVE: &str = "
    WITH changed AS (
        UPDATE grants SET version = version + 1, claimed_until = NULL, status = $3, due_at = $4, body = $5,
               silent_at = CASE WHEN $6 THEN last_beat + beat_every * $7 END,
               last_seq = $8, last_hash = $9
        WHERE id = $1 AND version = $2 AND ($10 IS NULL OR last_beat = $10) AND last_seq IS NOT DISTINCT FROM $11
        RETURNING n, version, beat_every, last_beat
    ),
    told AS (
        INSERT INTO events (grant_n, seq, at, kind, source, text, data, prev_hash, hash)
        SELECT n, new.* FROM changed, unnest($14::BIGINT[], $15::BIGINT[], $16::TEXT[],
            $17::TEXT[], $18::TEXT[], $19::TEXT[], $20::TEXT[], $21::TEXT[]) AS new
    ),
    intended AS (
        INSERT INTO intents (grant_n, step, action, object, opened_at)
        SELECT n, step, action, object, $24
        FROM changed, unnest($22::TEXT[], $23::TEXT[]) WITH ORDINALITY AS new (action, object, step)
        ON CONFLICT DO NOTHING
    ),
    needed AS (
        INSERT INTO needs (object, grant_n) SELECT DISTINCT object, n FROM changed, unnest($25::TEXT[]) AS object
        ON CONFLICT DO NOTHING
    ),
    closed AS (
        UPDATE intents SET closed_at = $13 FROM changed
        WHERE grant_n = n AND closed_at IS NULL AND $13 IS NOT NULL
    ),
    counted AS (
        INSERT INTO grant_counts (status, change) SELECT status, change
        FROM changed, (VALUES ($12, -1), ($3, 1)) AS moved (status, change) WHERE $12 <> $3
    )
    SELECT version, beat_every, last_beat FROM changed";

pub(super) async fn save(
    connection: &mut PgConnection,
    seen: &Seen,
    moved: &Moved,
) -> Result<Saved, StoreError> {
    // The usual case in one statement: nobody has written to the timeline since it was read.
    if let Some(last) = &seen.last_row
        && let Some(saved) = from(connection, seen, moved, Some(last.clone())).await?
    {
        return Ok(saved);
    }
    let mut transaction = connection.begin().await?;
    let row = sqlx::query(
        "SELECT last_seq AS seq, last_hash AS hash FROM grants
         WHERE id = $1 AND version = $2 AND ($3 IS NULL OR last_beat = $3) FOR NO KEY UPDATE",
    )
    .bind(seen.id.as_str())
    .bind(seen.version)
    .bind(millis(seen.last_beat))
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(Saved::Conflict) };
    let saved = from(&mut transaction, seen, moved, LastRow::read(&row)?).await?;
    transaction.commit().await?;
    Ok(saved.unwrap_or(Saved::Conflict))
}

/// Makes the change if the timeline's last row is this one, and everything else is as it was seen.
async fn from(
    connection: &mut PgConnection,
    seen: &Seen,
    moved: &Moved,
    last: Option<LastRow>,
) -> Result<Option<Saved>, StoreError> {
    let Moved { grant, events } = moved;
    let told = chain::chain(&grant.id, last.as_ref(), events)?;
    let before = last.as_ref().map(|last| i64::from(last.seq));
    let now_last = chain::last_of(&told, last);
    let events = Events::of(told);
    let may_have_more_steps = matches!(grant.state, State::Applying { .. });
    let steps = if may_have_more_steps { Steps::of(grant) } else { Steps::default() };
    let query = sqlx::query(SAVE)
        .bind(seen.id.as_str())
        .bind(seen.version)
        .bind(grant.status().as_str())
        .bind(millis(grant.due_at()))
        .bind(rows::body(grant)?)
        .bind(grant.status() == GrantStatus::Active)
        .bind(i64::from(Lease::MISSED))
        .bind(now_last.as_ref().map(|last| i64::from(last.seq)))
        .bind(now_last.as_ref().map(|last| last.hash.clone()))
        .bind(millis(seen.last_beat))
        .bind(before)
        .bind(seen.status.as_str())
        .bind(millis(rows::intents_closed_at(&grant.state)));
    let row: Option<PgRow> = steps.bind(events.bind(query)).fetch_optional(connection).await?;
    row.map(|row| Ok(Saved::Done(rows::saved(&row, grant.clone(), now_last)?))).transpose()
}

pub(super) async fn beat(
    connection: &mut PgConnection,
    id: &GrantId,
    agent: &AgentId,
    key: &IdempotencyKey,
    now: Timestamp,
) -> Result<Beat, StoreError> {
    // A grant without a lease has no `last_beat`, and gets none.
    let heard = sqlx::query(
        "UPDATE grants SET last_beat = CASE WHEN last_beat < $4 THEN $4 ELSE last_beat END,
                silent_at = CASE WHEN last_beat < $4 THEN $4 ELSE last_beat END + beat_every * $6
         WHERE id = $1 AND agent_id = $2 AND idem_key = $3 AND status = $5
         RETURNING body, version, beat_every, last_beat",
    )
    .bind(id.as_str())
    .bind(agent.as_str())
    .bind(key.as_str())
    .bind(now.as_millis())
    .bind(GrantStatus::Active.as_str())
    .bind(i64::from(Lease::MISSED))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = heard {
        return Ok(Beat::Heard(rows::grant(&row)?));
    }
    let ended = grants::find(connection, id)
        .await?
        .filter(|stored| stored.grant.agent_id == *agent && stored.grant.key.as_ref() == Some(key));
    Ok(ended.map_or(Beat::Unknown, Beat::Ended))
}
