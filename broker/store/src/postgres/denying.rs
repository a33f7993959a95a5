//! How is a refused request recorded once, and counted from then on?

use domain::ReplayGuard;
use protocol::Timestamp;
use sqlx::PgConnection;

use super::characters;
use super::forgetting::{Left, PIECE};
use super::written::Events;
use crate::chain::{self, LastRow};
use crate::columns::Columns;
use crate::faults::corrupt;
use crate::rows::{self, Use};
use crate::{DENIALS_KEPT, Denying, Recorded, StoreError};

/// Of two that record the same request at once the second waits for the row, and counts. Brokers that record different
/// ones at once may keep a few more than the limit.
const RECORD: &str = "
    WITH known_token AS MATERIALIZED (
        SELECT 1 FROM used_tokens WHERE token_hash = $9 AND bound_to = $10
    ),
    token AS (
        INSERT INTO used_tokens (token_hash, bound_to, forget_after)
        SELECT $9, $10, $11 WHERE $9 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known_token)
        ON CONFLICT DO NOTHING RETURNING 1
    ),
    free AS (
        SELECT 1 WHERE $9 IS NULL OR EXISTS (SELECT 1 FROM known_token) OR EXISTS (SELECT 1 FROM token)
    ),
    made AS (
        INSERT INTO grants (id, agent_id, status, requested_at, version, last_seq, last_hash, body,
                            denied_hash, denials, denied_at)
        SELECT $1, $2, $3, $4, 1, $5, $6, $7, $8, 1, $4 FROM free
        WHERE (SELECT count(*) FROM grants WHERE agent_id = $2 AND denied_hash IS NOT NULL) < $12
           OR EXISTS (SELECT 1 FROM grants WHERE agent_id = $2 AND denied_hash = $8)
        ON CONFLICT (agent_id, denied_hash) WHERE denied_hash IS NOT NULL
            DO UPDATE SET denials = grants.denials + 1,
                          denied_at = greatest(grants.denied_at, excluded.denied_at)
        RETURNING n, denials
    ),
    told AS (
        INSERT INTO events (grant_n, seq, at, kind, source, text, data, prev_hash, hash)
        SELECT n, new.* FROM made, unnest($13::BIGINT[], $14::BIGINT[], $15::TEXT[],
            $16::TEXT[], $17::TEXT[], $18::TEXT[], $19::TEXT[], $20::TEXT[]) AS new WHERE denials = 1
    ),
    counted AS (
        INSERT INTO grant_counts (status, change) SELECT $3, 1 FROM made WHERE denials = 1
    )
    SELECT (SELECT count(*) FROM free) AS free, (SELECT denials FROM made) AS denials";

/// A refused request, as it will be stored.
pub(super) struct Wanted<'a> {
    denying: Denying<'a>,
    body: String,
    events: Events,
    last_row: Option<LastRow>,
    used: Option<Use>,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(denying: Denying<'a>) -> Result<Self, StoreError> {
        let Denying { moved, key, replay } = denying;
        let grant = &moved.grant;
        let told = chain::chain(&grant.id, None, &moved.events)?;
        let used = |guard: &ReplayGuard| Use::by(guard.clone(), &grant.agent_id, Some(key));
        Ok(Self {
            body: rows::body(grant)?,
            last_row: chain::last_of(&told, None),
            events: Events::of(told),
            used: replay.map(used),
            denying,
        })
    }
}

pub(super) async fn record(
    connection: &mut PgConnection,
    wanted: &Wanted<'_>,
) -> Result<Recorded, StoreError> {
    match try_to_record(connection, wanted).await? {
        // Another request of the same job may have used the token at this very moment; now it can be seen.
        Recorded::Replayed => try_to_record(connection, wanted).await,
        recorded @ (Recorded::New | Recorded::Again | Recorded::Full) => Ok(recorded),
    }
}

async fn try_to_record(connection: &mut PgConnection, wanted: &Wanted<'_>) -> Result<Recorded, StoreError> {
    let grant = &wanted.denying.moved.grant;
    let used = wanted.used.as_ref();
    let query = sqlx::query(RECORD)
        .bind(grant.id.as_str())
        .bind(grant.agent_id.as_str())
        .bind(grant.status().as_str())
        .bind(grant.requested_at.as_millis())
        .bind(wanted.last_row.as_ref().map(|last| i64::from(last.seq)))
        .bind(wanted.last_row.as_ref().map(|last| last.hash.as_str()))
        .bind(&wanted.body)
        .bind(&grant.request_hash)
        .bind(used.map(|used| used.guard.token_hash.as_str()))
        .bind(used.map(|used| characters::stored(&used.bound_to).into_owned()))
        .bind(used.map(|used| used.guard.forget_after.as_millis()))
        .bind(i64::from(DENIALS_KEPT));
    let row = wanted.events.bind(query).fetch_one(connection).await?;
    match (row.number("free")?, row.maybe_number("denials")?) {
        (0, _) => Ok(Recorded::Replayed),
        (_, None) => Ok(Recorded::Full),
        (_, Some(1)) => Ok(Recorded::New),
        (_, Some(2..)) => Ok(Recorded::Again),
        (_, Some(found)) => Err(corrupt("how often a request was refused", found)),
    }
}

/// Deletes some of the refused requests that did not come again since, with their timelines. Brokers that do so at once
/// take different ones.
pub(super) async fn forget(connection: &mut PgConnection, not_since: Timestamp) -> Result<Left, StoreError> {
    let done =
        sqlx::query(FORGET).bind(not_since.as_millis()).bind(i64::from(PIECE)).execute(connection).await?;
    Ok(if done.rows_affected() < u64::from(PIECE) { Left::Nothing } else { Left::Perhaps })
}

pub(super) const FORGET: &str = "
    WITH over AS MATERIALIZED (
        SELECT n FROM grants WHERE status = 'denied' AND denied_at <= $1
        ORDER BY denied_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    told AS (
        DELETE FROM events USING over WHERE grant_n = over.n
    ),
    counted AS (
        INSERT INTO grant_counts (status, change)
        SELECT 'denied', -count(*) FROM over HAVING count(*) > 0
    )
    DELETE FROM grants USING over WHERE grants.n = over.n";
