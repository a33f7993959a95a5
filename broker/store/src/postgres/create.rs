//! Stores new grants, and the tombstones of revoked keys.
//!
//! One row stands for each fact that decides: the agent's row is locked against disabling, and the rows of the key and
//! the OIDC token are inserted. Of two requests for the same row the second waits, and then finds it. A second
//! statement, which sees what refused the request, explains the refusal. `locked_versions` keeps the rules and posture
//! that a decision was made from as they are, and comes before every INSERT, so that no request waits for the lock while
//! another waits for its rows.

use std::num::NonZeroU32;

use domain::grant::Transition;
use domain::{AgentStatus, Lease, ReplayGuard};
use protocol::{AgentId, IdempotencyKey, Timestamp};
use sqlx::{Connection, PgConnection};

use super::bind::{self, Events, millis};
use super::context::{self, counted};
use super::decisions::{self, decided_columns};
use super::{grants, nul_escaping};
use crate::chain::{self, LastRow};
use crate::columns::Columns;
use crate::context_rows::{Seen, since};
use crate::decision_rows::DecisionRow;
use crate::error::corrupt;
use crate::rows::{self, TokenUse};
use crate::{Created, GrantRecord, NewDecision, Reevaluation, RevokeByKey, StoreError};

/// Counts the active grants of a run. A grant without a known run counts for every run.
macro_rules! active_beside {
    ($agent:literal, $run:literal) => {
        concat!(
            "SELECT count(*) FROM grants WHERE agent_id = ",
            $agent,
            " AND status IN ('pending_approval', 'applying', 'active') AND (",
            $run,
            " = '' OR run IN ('', ",
            $run,
            "))"
        )
    };
}

/// Whether the counts that a decision was made from have not grown: a grant that has ended since could as well have
/// ended after the decision. Without a known run the first two are those of the agent.
macro_rules! unchanged_counts {
    () => {
        concat!(
            "($28 = '' OR (",
            counted!(
                "$2",
                " AND run IN ('', $28)",
                "",
                " AND status IN ('pending_approval', 'applying', 'active')"
            ),
            " <= $34 AND ",
            counted!("$2", " AND run IN ('', $28)", "", " AND requested_at > $33"),
            " <= $35)) AND ",
            counted!("$2", "", "", " AND status IN ('pending_approval', 'applying', 'active')"),
            " <= $36 AND ",
            counted!("$2", "", "", " AND requested_at > $33"),
            " <= $37"
        )
    };
}

/// A grant without a key is always written. A token that this job consumed before is read and not written: a write of
/// its row would wait for every other grant of the job.
const CREATE: &str = concat!(
    "
    WITH agent AS MATERIALIZED (
        SELECT status, revision FROM agents WHERE id = $2 AND $3 IS NOT NULL FOR SHARE
    ),
    locked AS MATERIALIZED (
        SELECT rules_version, posture_seq FROM locked_versions ($31) WHERE $29::BIGINT IS NOT NULL
    ),
    free AS MATERIALIZED (
        SELECT 1 WHERE $3 IS NULL OR (
            NOT EXISTS (SELECT 1 FROM agent WHERE status = $13)
            AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE agent_id = $2 AND idem_key = $3)
            AND ($27::BIGINT IS NULL OR (",
    active_beside!("$2", "$28"),
    ") < $27)
            AND ($29::BIGINT IS NULL OR (
                EXISTS (SELECT 1 FROM locked WHERE rules_version = $29 AND ($31::TEXT[] IS NULL OR posture_seq = $32))
                AND (SELECT revision FROM agent) IS NOT DISTINCT FROM $30
                AND ($33::BIGINT IS NULL OR ",
    unchanged_counts!(),
    "))))
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
                            lease_expires_at, version, last_seq, last_hash, body, run, reevaluate_at, break_glass)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12, $28, $38, $50
        FROM (SELECT 1 FROM key UNION ALL SELECT 1 FROM free WHERE $3 IS NULL) AS may
        RETURNING number
    ),
    recorded AS (
        INSERT INTO events (grant_number, seq, at, kind, source, actor, text, data, prev_hash, hash)
        SELECT number, new.* FROM made, unnest($17::BIGINT[], $18::BIGINT[], $19::TEXT[], $20::TEXT[], $21::TEXT[],
            $22::TEXT[], $23::TEXT[], $24::TEXT[], $25::TEXT[]) AS new
    ),
    found_by AS (
        INSERT INTO grant_origins SELECT number, $5, $51, $52, $53 FROM made
    ),
    needed AS (
        INSERT INTO shared_object_refs (object, grant_number) SELECT DISTINCT object, number FROM made, unnest($26::TEXT[]) AS object
    ),
    counted AS (
        INSERT INTO grant_counts (status, change) SELECT $4, 1 FROM made
    ),
    decided AS (
        INSERT INTO decisions (grant_number, ",
    decided_columns!(),
    ")
        SELECT number, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49 FROM made WHERE $39::BIGINT IS NOT NULL
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
    decided: Option<Decided>,
}

/// The decision about a new grant in the form in which it is stored.
struct Decided {
    row: DecisionRow,
    seen: Seen,
    reevaluate_at: Option<Timestamp>,
}

impl Decided {
    fn of(new: &NewDecision<'_>) -> Result<Self, StoreError> {
        let row = DecisionRow::of(new.decision)?;
        Ok(Self { row, seen: Seen::of(new), reevaluate_at: new.reevaluate_at })
    }
}

impl Wanted {
    pub(super) fn of(
        transition: &Transition,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
        decision: Option<&NewDecision<'_>>,
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
            decided: decision.map(Decided::of).transpose()?,
            transition: transition.clone(),
        })
    }

    /// Whether the request depends on the other grants of its agent.
    fn counts(&self) -> bool {
        self.most_active.is_some() || self.decided.as_ref().is_some_and(|decided| decided.seen.run.is_some())
    }

    fn reevaluation(&self) -> Option<Reevaluation> {
        let at = self.decided.as_ref().and_then(|decided| decided.reevaluate_at);
        at.map(|at| Reevaluation { at, mark: 0 })
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
        let seen = self.decided.as_ref().map(|decided| &decided.seen);
        let run = seen.and_then(|seen| seen.run);
        let posture = seen.and_then(|seen| seen.posture.as_ref());
        let query = query
            .bind(seen.map(|seen| seen.rules_version))
            .bind(seen.and_then(|seen| seen.agent_revision))
            .bind(posture.map(|(subjects, _)| context::escaped(subjects)))
            .bind(posture.map(|(_, seq)| *seq))
            .bind(seen.filter(|_| run.is_some()).map(|seen| since(seen.at)))
            .bind(run.map(|run| i64::from(run.live)))
            .bind(run.map(|run| i64::from(run.last_hour)))
            .bind(run.map(|run| i64::from(run.agent_live)))
            .bind(run.map(|run| i64::from(run.agent_last_hour)))
            .bind(millis(self.decided.as_ref().and_then(|decided| decided.reevaluate_at)));
        let query = decisions::bind(query, self.decided.as_ref().map(|decided| &decided.row));
        let query = bind::origin(query.bind(grant.break_glass.is_some()), grant);
        Ok(query.fetch_optional(connection).await?.is_some())
    }
}

/// Where a limit applies or a decision depends on other grants, requests of one agent run one after another. The lock is a statement of its own, because a
/// statement does not see what was committed while it waited.
pub(super) async fn create(connection: &mut PgConnection, wanted: &Wanted) -> Result<Created, StoreError> {
    if !wanted.counts() {
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
                reevaluation: wanted.reevaluation(),
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
                idem_key, body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, last_seq AS seq, last_hash AS hash
         FROM (SELECT 1) AS one
         LEFT JOIN (SELECT idempotency_keys.idem_key, body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, last_seq, last_hash
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
    if wanted.most_active.is_some_and(|most| active >= most) {
        return Ok(Some(Created::TooManyActive));
    }
    // What is left. If the reason of the refusal is gone, the decision is made once more than it had to be.
    Ok(wanted.decided.is_some().then_some(Created::ContextChanged))
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
