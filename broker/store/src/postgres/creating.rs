//! May this request have a new grant, and what is written for it before anything is done?
//!
//! What decides is a row each: the agent's is locked against being switched off, the key's and the token's are made,
//! and of two that want the same one at once the second waits and then finds it. Whoever gets none is told why by a
//! second look, which sees everything that was in the way.

use std::num::NonZeroU32;

use domain::grant::Moved;
use domain::{AgentStatus, Lease, ReplayGuard};
use protocol::{AgentId, IdempotencyKey, Timestamp};
use sqlx::{Connection, PgConnection};

use super::written::{self, Events, millis};
use super::{characters, grants};
use crate::chain::{self, LastRow};
use crate::columns::Columns;
use crate::faults::corrupt;
use crate::rows::{self, Use};
use crate::{Created, KeyGivenBack, StoreError, Stored};

/// How many grants a run of an agent has. Where no run is known, it may be any.
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

/// For a grant without a key nothing is asked. A token that this job has
/// used already is only looked at: whoever changed its row would wait for every other grant of the job.
const CREATE: &str = concat!(
    "
    WITH agent AS MATERIALIZED (
        SELECT status FROM agents WHERE id = $2 AND $3 IS NOT NULL FOR SHARE
    ),
    free AS MATERIALIZED (
        SELECT 1 WHERE $3 IS NULL OR (
            NOT EXISTS (SELECT 1 FROM agent WHERE status = $13)
            AND NOT EXISTS (SELECT 1 FROM keys WHERE agent_id = $2 AND idem_key = $3)
            AND ($26::BIGINT IS NULL OR (",
    active_beside!("$2", "$27"),
    ") < $26))
    ),
    known AS MATERIALIZED (
        SELECT 1 FROM used_tokens WHERE token_hash = $14 AND bound_to = $15
    ),
    token AS (
        INSERT INTO used_tokens (token_hash, bound_to, forget_after)
        SELECT $14, $15, $16 FROM free WHERE $14 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known)
        ON CONFLICT DO NOTHING RETURNING 1
    ),
    key AS (
        INSERT INTO keys (agent_id, idem_key, grant_id)
        SELECT $2, $3, $1 FROM free
        WHERE $3 IS NOT NULL
          AND ($14 IS NULL OR EXISTS (SELECT 1 FROM known) OR EXISTS (SELECT 1 FROM token))
        ON CONFLICT DO NOTHING RETURNING 1
    ),
    made AS (
        INSERT INTO grants (id, agent_id, idem_key, status, requested_at, due_at, beat_every, last_beat,
                            silent_at, version, last_seq, last_hash, body, run)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12, $27
        FROM (SELECT 1 FROM key UNION ALL SELECT 1 FROM free WHERE $3 IS NULL) AS may
        RETURNING n
    ),
    told AS (
        INSERT INTO events (grant_n, seq, at, kind, source, text, data, prev_hash, hash)
        SELECT n, new.* FROM made, unnest($17::BIGINT[], $18::BIGINT[], $19::TEXT[],
            $20::TEXT[], $21::TEXT[], $22::TEXT[], $23::TEXT[], $24::TEXT[]) AS new
    ),
    needed AS (
        INSERT INTO needs (object, grant_n) SELECT DISTINCT object, n FROM made, unnest($25::TEXT[]) AS object
    ),
    counted AS (
        INSERT INTO grant_counts (status, change) SELECT $4, 1 FROM made
    )
    SELECT n FROM made"
);

#[cfg(test)]
pub(super) const ACTIVE_BESIDE: &str = active_beside!("$1", "$2");

/// How often what was in the way may be gone when it is looked at.
const LOOKS: u32 = 10;

/// A grant to be made, as it will be stored.
pub(super) struct Wanted {
    moved: Moved,
    lease: Option<Lease>,
    body: String,
    events: Events,
    shared: Vec<String>,
    last_row: Option<LastRow>,
    used: Option<Use>,
    run: String,
    most_active: Option<i64>,
}

impl Wanted {
    pub(super) fn of(
        moved: &Moved,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
    ) -> Result<Self, StoreError> {
        let grant = &moved.grant;
        let told = chain::chain(&grant.id, None, &moved.events)?;
        Ok(Self {
            lease,
            body: rows::body(grant)?,
            last_row: chain::last_of(&told, None),
            events: Events::of(told),
            shared: written::shared_by(grant),
            used: replay.map(|guard| Use::of(guard.clone(), grant)),
            run: grant.run.clone().unwrap_or_default(),
            most_active: most_active.map(|most| i64::from(most.get())),
            moved: moved.clone(),
        })
    }

    async fn make(&self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        let grant = &self.moved.grant;
        let used = self.used.as_ref();
        let query = sqlx::query(CREATE)
            .bind(grant.id.as_str())
            .bind(grant.agent_id.as_str())
            .bind(grant.key.as_ref().map(IdempotencyKey::as_str))
            .bind(grant.status().as_str())
            .bind(grant.requested_at.as_millis())
            .bind(millis(grant.due_at()))
            .bind(self.lease.as_ref().map(rows::beat_every))
            .bind(self.lease.map(|lease| lease.last_beat.as_millis()))
            .bind(rows::silent_at(grant, self.lease))
            .bind(self.last_row.as_ref().map(|last| i64::from(last.seq)))
            .bind(self.last_row.as_ref().map(|last| last.hash.as_str()))
            .bind(&self.body)
            .bind(AgentStatus::Disabled.as_str())
            .bind(used.map(|used| used.guard.token_hash.as_str()))
            .bind(used.map(|used| characters::stored(&used.bound_to).into_owned()))
            .bind(used.map(|used| used.guard.forget_after.as_millis()));
        let query = self.events.bind(query).bind(&self.shared).bind(self.most_active).bind(&self.run);
        Ok(query.fetch_optional(connection).await?.is_some())
    }
}

/// Where grants are counted, requests of one agent come one after another: a statement does not see what was committed
/// while it waited, so that the lock is taken by one of its own.
pub(super) async fn create(connection: &mut PgConnection, wanted: &Wanted) -> Result<Created, StoreError> {
    if wanted.most_active.is_none() {
        return make_or_explain(connection, wanted).await;
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT 1 FROM agents WHERE id = $1 FOR NO KEY UPDATE")
        .bind(wanted.moved.grant.agent_id.as_str())
        .execute(&mut *transaction)
        .await?;
    let created = make_or_explain(&mut transaction, wanted).await?;
    transaction.commit().await?;
    Ok(created)
}

async fn make_or_explain(connection: &mut PgConnection, wanted: &Wanted) -> Result<Created, StoreError> {
    for _ in 0..LOOKS {
        if wanted.make(connection).await? {
            return Ok(Created::New(Stored {
                grant: wanted.moved.grant.clone(),
                lease: wanted.lease,
                version: 1,
                denials: None,
                last_row: wanted.last_row.clone(),
            }));
        }
        if let Some(refused) = in_the_way(connection, wanted).await? {
            return Ok(refused);
        }
    }
    Err(corrupt("what is in the way of a request", "it is never there when it is looked at"))
}

/// Nothing if it has gone since.
async fn in_the_way(connection: &mut PgConnection, wanted: &Wanted) -> Result<Option<Created>, StoreError> {
    let grant = &wanted.moved.grant;
    let known = sqlx::query(concat!(
        "SELECT (SELECT status FROM agents WHERE id = $1) AS agent_status,
                (SELECT bound_to FROM used_tokens WHERE token_hash = $3) AS bound_to,
                CASE WHEN $4::BIGINT IS NULL THEN 0 ELSE (",
        active_beside!("$1", "$5"),
        ") END AS active,
                idem_key, body, version, beat_every, last_beat, last_seq AS seq, last_hash AS hash
         FROM (SELECT 1) AS one
         LEFT JOIN (SELECT keys.idem_key, body, version, beat_every, last_beat, last_seq, last_hash
                    FROM keys LEFT JOIN grants ON id = grant_id
                    WHERE keys.agent_id = $1 AND keys.idem_key = $2) AS found ON true",
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
        return Ok(Some(Created::Cancelled));
    }
    let bound_to = known.maybe_text("bound_to")?;
    let replayed = wanted
        .used
        .as_ref()
        .is_some_and(|used| bound_to.is_some_and(|bound_to| characters::stored(&used.bound_to) != bound_to));
    if replayed {
        return Ok(Some(Created::Replayed));
    }
    let active = known.number("active")?;
    Ok(wanted.most_active.is_some_and(|most| active >= most).then_some(Created::TooManyActive))
}

pub(super) async fn give_key_back(
    connection: &mut PgConnection,
    agent: &AgentId,
    key: &IdempotencyKey,
    forget_after: Timestamp,
) -> Result<KeyGivenBack, StoreError> {
    let noted = sqlx::query(
        "INSERT INTO keys (agent_id, idem_key, forget_after) VALUES ($1, $2, $3)
         ON CONFLICT (agent_id, idem_key)
            DO UPDATE SET forget_after = greatest(keys.forget_after, excluded.forget_after)
            WHERE keys.grant_id IS NULL",
    )
    .bind(agent.as_str())
    .bind(key.as_str())
    .bind(forget_after.as_millis())
    .execute(&mut *connection)
    .await?;
    if noted.rows_affected() > 0 {
        return Ok(KeyGivenBack::Noted);
    }
    let stored = grants::find_by_key(connection, agent, key).await?;
    stored.map(KeyGivenBack::Grant).ok_or_else(|| corrupt("whose a key is", "its grant is not there"))
}
