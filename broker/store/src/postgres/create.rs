//! Stores new grants, and the tombstones of revoked keys.
//!
//! One row stands for each fact that decides: the agent's row is locked against disabling, and the rows of the key and
//! the OIDC token are inserted. Of two requests for the same row the second waits, and then finds it. A second
//! statement, which sees what refused the request, explains the refusal.

use std::num::NonZeroU32;

use domain::grant::Transition;
use domain::{AgentStatus, Lease, ReplayGuard};
use protocol::{AgentId, IdempotencyKey, Timestamp};
use sqlx::{Connection, PgConnection};

use super::bind::{self, Events, millis};
use super::{grants, nul_escaping};
use crate::chain::{self, LastRow};
use crate::columns::Columns;
use crate::error::corrupt;
use crate::rows::{self, TokenUse};
use crate::{Created, GrantRecord, RevokeByKey, StoreError};

/// Counts the active grants of a run. A grant without a known run counts for every run.
macro_rules! active_beside {
    ($agent:literal, $run:literal) => {
        concat!(
            "SELECT count(*) FROM grants WHERE agent_id = ",
            $agent,
            " AND status IN ('applying', 'active') AND (",
            $run,
            " = '' OR run IN ('', ",
            $run,
            "))"
        )
    };
}

/// A grant without a key is always written. A token that this job consumed before is read and not written: a write of
/// its row would wait for every other grant of the job.
const CREATE: &str = concat!(
    "
    WITH agent AS MATERIALIZED (
        SELECT status FROM agents WHERE id = $2 AND $3 IS NOT NULL FOR SHARE
    ),
    free AS MATERIALIZED (
        SELECT 1 WHERE $3 IS NULL OR (
            NOT EXISTS (SELECT 1 FROM agent WHERE status = $13)
            AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE agent_id = $2 AND idem_key = $3)
            AND ($28::BIGINT IS NULL OR (",
    active_beside!("$2", "$29"),
    ") < $28))
    ),
    known AS MATERIALIZED (
        SELECT 1 FROM consumed_oidc_tokens WHERE token_hash = $14 AND bound_to = $15
    ),
    token AS (
        INSERT INTO consumed_oidc_tokens (token_hash, bound_to, forget_after)
        SELECT $14, $15, $16 FROM free WHERE $14 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known)
        ON CONFLICT DO NOTHING RETURNING 1
    ),
    key AS (
        INSERT INTO idempotency_keys (agent_id, idem_key, grant_id)
        SELECT $2, $3, $1 FROM free
        WHERE $3 IS NOT NULL
          AND ($14 IS NULL OR EXISTS (SELECT 1 FROM known) OR EXISTS (SELECT 1 FROM token))
        ON CONFLICT DO NOTHING RETURNING 1
    ),
    made AS (
        INSERT INTO grants (id, agent_id, idem_key, status, requested_at, due_at, heartbeat_interval, last_heartbeat,
                            lease_expires_at, version, last_seq, last_hash, body, run)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12, $29
        FROM (SELECT 1 FROM key UNION ALL SELECT 1 FROM free WHERE $3 IS NULL) AS may
        RETURNING number
    ),
    recorded AS (
        INSERT INTO events (grant_number, seq, at, kind, source, actor_kind, actor_name, text, data, prev_hash, hash)
        SELECT number, new.* FROM made, unnest($17::BIGINT[], $18::BIGINT[], $19::TEXT[], $20::TEXT[], $21::TEXT[],
            $22::TEXT[], $23::TEXT[], $24::TEXT[], $25::TEXT[], $26::TEXT[]) AS new
    ),
    needed AS (
        INSERT INTO shared_object_refs (object, grant_number) SELECT DISTINCT object, number FROM made, unnest($27::TEXT[]) AS object
    ),
    counted AS (
        INSERT INTO grant_counts (status, change) SELECT $4, 1 FROM made
    )
    SELECT number FROM made"
);

#[cfg(test)]
pub(super) const ACTIVE_BESIDE: &str = active_beside!("$1", "$2");

/// How often to try again when the reason of a refusal is gone before it can be read.
const MAX_TRIES: u32 = 10;

/// A new grant in the form in which it is stored.
pub(super) struct Wanted {
    transition: Transition,
    lease: Option<Lease>,
    body: String,
    events: Events,
    shared: Vec<String>,
    last_row: Option<LastRow>,
    used: Option<TokenUse>,
    run: String,
    most_active: Option<i64>,
}

impl Wanted {
    pub(super) fn of(
        transition: &Transition,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
    ) -> Result<Self, StoreError> {
        let grant = &transition.grant;
        let recorded = chain::chain(&grant.id, None, &transition.events)?;
        Ok(Self {
            lease,
            body: rows::body(grant)?,
            last_row: chain::last_of(&recorded, None),
            events: Events::of(recorded),
            shared: bind::shared_objects_of(grant),
            used: replay.map(|guard| TokenUse::of(guard.clone(), grant)),
            run: grant.run.clone().unwrap_or_default(),
            most_active: most_active.map(|most| i64::from(most.get())),
            transition: transition.clone(),
        })
    }

    async fn make(&self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        let grant = &self.transition.grant;
        let used = self.used.as_ref();
        let query = sqlx::query(CREATE)
            .bind(grant.id.as_str())
            .bind(grant.agent_id.as_str())
            .bind(grant.key.as_ref().map(IdempotencyKey::as_str))
            .bind(grant.status().as_str())
            .bind(grant.requested_at.as_millis())
            .bind(millis(grant.due_at()))
            .bind(self.lease.as_ref().map(rows::heartbeat_interval))
            .bind(self.lease.map(|lease| lease.last_heartbeat.as_millis()))
            .bind(rows::lease_expires_at(grant, self.lease))
            .bind(self.last_row.as_ref().map(|last| i64::from(last.seq)))
            .bind(self.last_row.as_ref().map(|last| last.hash.as_str()))
            .bind(&self.body)
            .bind(AgentStatus::Disabled.as_str())
            .bind(used.map(|used| used.guard.token_hash.as_str()))
            .bind(used.map(|used| nul_escaping::escaped(&used.bound_to).into_owned()))
            .bind(used.map(|used| used.guard.forget_after.as_millis()));
        let query = self.events.bind(query).bind(&self.shared).bind(self.most_active).bind(&self.run);
        Ok(query.fetch_optional(connection).await?.is_some())
    }
}

/// Where a limit applies, requests of one agent run one after another. The lock is a statement of its own, because a
/// statement does not see what was committed while it waited.
pub(super) async fn create(connection: &mut PgConnection, wanted: &Wanted) -> Result<Created, StoreError> {
    if wanted.most_active.is_none() {
        return make_or_explain(connection, wanted).await;
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT 1 FROM agents WHERE id = $1 FOR NO KEY UPDATE")
        .bind(wanted.transition.grant.agent_id.as_str())
        .execute(&mut *transaction)
        .await?;
    let created = make_or_explain(&mut transaction, wanted).await?;
    transaction.commit().await?;
    Ok(created)
}

async fn make_or_explain(connection: &mut PgConnection, wanted: &Wanted) -> Result<Created, StoreError> {
    for _ in 0..MAX_TRIES {
        if wanted.make(connection).await? {
            return Ok(Created::New(GrantRecord {
                grant: wanted.transition.grant.clone(),
                lease: wanted.lease,
                version: 1,
                denials: None,
                reevaluation: None,
                last_row: wanted.last_row.clone(),
            }));
        }
        if let Some(refused) = explain_conflict(connection, wanted).await? {
            return Ok(refused);
        }
    }
    Err(corrupt("why a request is refused", "the reason is gone whenever it is read"))
}

/// None if the reason of the refusal is gone.
async fn explain_conflict(
    connection: &mut PgConnection,
    wanted: &Wanted,
) -> Result<Option<Created>, StoreError> {
    let grant = &wanted.transition.grant;
    let known = sqlx::query(concat!(
        "SELECT (SELECT status FROM agents WHERE id = $1) AS agent_status,
                (SELECT bound_to FROM consumed_oidc_tokens WHERE token_hash = $3) AS bound_to,
                CASE WHEN $4::BIGINT IS NULL THEN 0 ELSE (",
        active_beside!("$1", "$5"),
        ") END AS active,
                idem_key, body, version, heartbeat_interval, last_heartbeat, last_seq AS seq, last_hash AS hash
         FROM (SELECT 1) AS one
         LEFT JOIN (SELECT idempotency_keys.idem_key, body, version, heartbeat_interval, last_heartbeat, last_seq, last_hash
                    FROM idempotency_keys LEFT JOIN grants ON id = grant_id
                    WHERE idempotency_keys.agent_id = $1 AND idempotency_keys.idem_key = $2) AS found ON true",
    ))
    .bind(grant.agent_id.as_str())
    .bind(grant.key.as_ref().map(IdempotencyKey::as_str))
    .bind(wanted.used.as_ref().map(|used| used.guard.token_hash.as_str()))
    .bind(wanted.most_active)
    .bind(&wanted.run)
    .fetch_one(connection)
    .await?;
    if known.maybe_text("agent_status")? == Some(AgentStatus::Disabled.as_str()) {
        return Ok(Some(Created::AgentDisabled));
    }
    if known.maybe_text("body")?.is_some() {
        let existing = rows::grant_with_last_row(&known)?;
        let same = existing.grant.request_hash == grant.request_hash;
        return Ok(Some(if same { Created::Joined(existing) } else { Created::KeyConflict }));
    }
    if known.maybe_text("idem_key")?.is_some() {
        return Ok(Some(Created::KeyRevoked));
    }
    let bound_to = known.maybe_text("bound_to")?;
    let replayed = wanted.used.as_ref().is_some_and(|used| {
        bound_to.is_some_and(|bound_to| nul_escaping::escaped(&used.bound_to) != bound_to)
    });
    if replayed {
        return Ok(Some(Created::Replayed));
    }
    let active = known.number("active")?;
    Ok(wanted.most_active.is_some_and(|most| active >= most).then_some(Created::TooManyActive))
}

pub(super) async fn revoke_key(
    connection: &mut PgConnection,
    agent: &AgentId,
    key: &IdempotencyKey,
    forget_after: Timestamp,
) -> Result<RevokeByKey, StoreError> {
    let noted = sqlx::query(
        "INSERT INTO idempotency_keys (agent_id, idem_key, forget_after) VALUES ($1, $2, $3)
         ON CONFLICT (agent_id, idem_key)
            DO UPDATE SET forget_after = greatest(idempotency_keys.forget_after, excluded.forget_after)
            WHERE idempotency_keys.grant_id IS NULL",
    )
    .bind(agent.as_str())
    .bind(key.as_str())
    .bind(forget_after.as_millis())
    .execute(&mut *connection)
    .await?;
    if noted.rows_affected() > 0 {
        return Ok(RevokeByKey::Tombstoned);
    }
    let stored = grants::find_by_key(connection, agent, key).await?;
    stored.map(RevokeByKey::Grant).ok_or_else(|| corrupt("the owner of a key", "its grant is not there"))
}
