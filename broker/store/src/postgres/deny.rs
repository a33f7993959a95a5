//! Records a denied request once, and counts its repetitions.

use domain::ReplayGuard;
use protocol::Timestamp;
use sqlx::PgConnection;

use super::bind::{self, Events};
use super::decisions::{self, decided_columns};
use super::nul_escaping;
use super::purge::{BATCH_SIZE, More};
use crate::chain::{self, LastRow};
use crate::columns::Columns;
use crate::decision_rows::DecisionRow;
use crate::error::corrupt;
use crate::rows::{self, TokenUse};
use crate::{DENIALS_KEPT, DenialOutcome, DeniedRequest, StoreError};

/// Of two brokers that record the same request at once, the second waits for the row and raises its counter. Brokers
/// that record different requests at once may exceed the limit by a few.
const RECORD: &str = concat!(
    "
    WITH known_token AS MATERIALIZED (
        SELECT 1 FROM consumed_oidc_tokens WHERE token_hash = $9 AND bound_to = $10
    ),
    token AS (
        INSERT INTO consumed_oidc_tokens (token_hash, bound_to, forget_after)
        SELECT $9, $10, $11 WHERE $9 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known_token)
        ON CONFLICT DO NOTHING RETURNING 1
    ),
    free AS (
        SELECT 1 WHERE $9 IS NULL OR EXISTS (SELECT 1 FROM known_token) OR EXISTS (SELECT 1 FROM token)
    ),
    made AS (
        INSERT INTO grants (id, agent_id, status, version, last_seq, last_hash, body,
                            denied_hash, denials, denied_at)
        SELECT $1, $2, $3, 1, $5, $6, $7, $8, 1, $4 FROM free
        WHERE (SELECT count(*) FROM grants WHERE agent_id = $2 AND denied_hash IS NOT NULL) < $12
           OR EXISTS (SELECT 1 FROM grants WHERE agent_id = $2 AND denied_hash = $8)
        ON CONFLICT (agent_id, denied_hash) WHERE denied_hash IS NOT NULL
            DO UPDATE SET denials = grants.denials + 1,
                          denied_at = greatest(grants.denied_at, excluded.denied_at)
        RETURNING number, denials
    ),
    recorded AS (
        INSERT INTO events (grant_number, seq, at, kind, source, actor, text, data, prev_hash, hash)
        SELECT number, new.* FROM made, unnest($13::BIGINT[], $14::BIGINT[], $15::TEXT[], $16::TEXT[], $17::TEXT[],
            $18::TEXT[], $19::TEXT[], $20::TEXT[], $21::TEXT[]) AS new WHERE denials = 1
    ),
    found_by AS (
        INSERT INTO grant_origins SELECT number, $4, $33, $34, $35 FROM made WHERE denials = 1
    ),
    counted AS (
        INSERT INTO grant_counts (status, change) SELECT $3, 1 FROM made WHERE denials = 1
    ),
    decided AS (
        INSERT INTO decisions (grant_number, ",
    decided_columns!(),
    ")
        SELECT number, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32 FROM made
        WHERE denials = 1 AND $22::BIGINT IS NOT NULL
    )
    SELECT (SELECT count(*) FROM free) AS free, (SELECT denials FROM made) AS denials"
);

/// A denied request in the form in which it is stored.
pub(super) struct Wanted<'a> {
    denying: DeniedRequest<'a>,
    body: String,
    events: Events,
    last_row: Option<LastRow>,
    used: Option<TokenUse>,
    decision: Option<DecisionRow>,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(denying: DeniedRequest<'a>) -> Result<Self, StoreError> {
        let DeniedRequest { transition, key, replay, decision } = denying;
        let grant = &transition.grant;
        let recorded = chain::chain(&grant.id, None, &transition.events)?;
        let used = |guard: &ReplayGuard| TokenUse::by(guard.clone(), &grant.agent_id, Some(key));
        Ok(Self {
            body: rows::body(grant)?,
            last_row: chain::last_of(&recorded, None),
            events: Events::of(recorded),
            used: replay.map(used),
            decision: decision.map(DecisionRow::of).transpose()?,
            denying,
        })
    }
}

pub(super) async fn record(
    connection: &mut PgConnection,
    wanted: &Wanted<'_>,
) -> Result<DenialOutcome, StoreError> {
    match try_to_record(connection, wanted).await? {
        // Another request of the same job may have consumed the token during the statement; now it can be seen.
        DenialOutcome::Replayed => try_to_record(connection, wanted).await,
        recorded @ (DenialOutcome::New | DenialOutcome::Again | DenialOutcome::Full) => Ok(recorded),
    }
}

async fn try_to_record(
    connection: &mut PgConnection,
    wanted: &Wanted<'_>,
) -> Result<DenialOutcome, StoreError> {
    let grant = &wanted.denying.transition.grant;
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
        .bind(used.map(|used| nul_escaping::escaped(&used.bound_to).into_owned()))
        .bind(used.map(|used| used.guard.forget_after.as_millis()))
        .bind(i64::from(DENIALS_KEPT));
    let query = wanted.events.bind(query);
    let query = bind::origin(decisions::bind(query, wanted.decision.as_ref()), grant);
    let row = query.fetch_one(connection).await?;
    match (row.number("free")?, row.maybe_number("denials")?) {
        (0, _) => Ok(DenialOutcome::Replayed),
        (_, None) => Ok(DenialOutcome::Full),
        (_, Some(1)) => Ok(DenialOutcome::New),
        (_, Some(2..)) => Ok(DenialOutcome::Again),
        (_, Some(found)) => Err(corrupt("how often a request was refused", found)),
    }
}

/// Deletes a batch of requests that were not denied again since, with their timelines. Concurrent brokers delete
/// different rows.
pub(super) async fn purge(connection: &mut PgConnection, not_since: Timestamp) -> Result<More, StoreError> {
    let done = sqlx::query(FORGET)
        .bind(not_since.as_millis())
        .bind(i64::from(BATCH_SIZE))
        .execute(connection)
        .await?;
    Ok(if done.rows_affected() < u64::from(BATCH_SIZE) { More::No } else { More::Maybe })
}

pub(super) const FORGET: &str = "
    WITH over AS MATERIALIZED (
        SELECT number FROM grants WHERE status = 'denied' AND denied_at <= $1
        ORDER BY denied_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    recorded AS (
        DELETE FROM events USING over WHERE grant_number = over.number
    ),
    found_by AS (
        DELETE FROM grant_origins USING over WHERE grant_number = over.number
    ),
    counted AS (
        INSERT INTO grant_counts (status, change)
        SELECT 'denied', -count(*) FROM over HAVING count(*) > 0
    )
    DELETE FROM grants USING over WHERE grants.number = over.number";
