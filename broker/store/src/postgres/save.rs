//! Saves transitions and heartbeats of grants.

use domain::grant::Transition;
use domain::{Lease, State};
use protocol::{AgentId, GrantId, IdempotencyKey, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};

use super::bind::{self, Events, millis};
use super::{grants, shared_objects};
use crate::chain::{self, LastRow};
use crate::columns::Columns;
use crate::rows::{self, Expected};
use crate::{AfterUpdate, GrantRecord, HeartbeatOutcome, Release, SaveOutcome, StoreError};

/// The statement takes `last_heartbeat` from the row: it may be newer than the one that the driver read.
macro_rules! change {
    ($first:literal, $if_so:literal, $more:literal, $answer:literal) => {
        concat!(
            "WITH ",
            $first,
            "changed AS (
                UPDATE grants SET version = version + 1, claimed_until = NULL, status = $3, due_at = $4, body = $5,
                       lease_expires_at = CASE WHEN $6 THEN last_heartbeat + heartbeat_interval * $7 END,
                       reevaluate_at = CASE WHEN $3 IN ('pending_approval', 'applying', 'active') THEN reevaluate_at END,
                       last_seq = $8, last_hash = $9, requested_at = coalesce($23, requested_at)
                WHERE id = $1 AND version = $2 AND ($10 IS NULL OR last_heartbeat = $10)
                  AND last_seq IS NOT DISTINCT FROM $11",
            $if_so,
            " RETURNING number, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation
            ),
            recorded AS (
                INSERT INTO events (grant_number, seq, at, kind, source, actor, text, data, prev_hash, hash)
                SELECT number, new.* FROM changed, unnest($13::BIGINT[], $14::BIGINT[], $15::TEXT[], $16::TEXT[], $17::TEXT[],
            $18::TEXT[], $19::TEXT[], $20::TEXT[], $21::TEXT[]) AS new
            ),
            needed AS (
                INSERT INTO shared_object_refs (object, grant_number)
                SELECT DISTINCT object, number FROM changed, unnest($22::TEXT[]) AS object
                ON CONFLICT DO NOTHING
            ),
            counted AS (
                INSERT INTO grant_counts (status, change) SELECT status, change
                FROM changed, (VALUES ($12, -1), ($3, 1)) AS transition (status, change) WHERE $12 <> $3
            )",
            $more,
            $answer
        )
    };
}

const SAVE: &str = change!(
    "",
    "",
    "",
    " SELECT version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation FROM changed"
);

/// For a grant with shared objects: also releases a lock, if one is named, and deletes the references of a final
/// grant.
const SAVE_SHARED: &str = change!(
    "released AS (
        UPDATE shared_objects SET ownership = $27, write_may_land_until = $28, delete_may_land_until = $29, locked_until = NULL
        WHERE object = $25 AND fencing_token = $26 RETURNING 1
    ), ",
    " AND ($25::TEXT IS NULL OR EXISTS (SELECT 1 FROM released))",
    ", forgotten AS (
        DELETE FROM shared_object_refs USING changed WHERE grant_number = number AND object = ANY ($24::TEXT[])
    )",
    " SELECT version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, (SELECT count(*) FROM released) AS released
      FROM (SELECT 1) AS one LEFT JOIN changed ON true"
);

/// The lock is released even if the grant was changed by another driver.
pub(super) async fn save(
    connection: &mut PgConnection,
    expected: &Expected,
    transition: &Transition,
    release: Option<&Release>,
) -> Result<SaveOutcome, StoreError> {
    let released = match (&expected.last_row, release) {
        // Usually one statement is enough: no event was appended since the grant was read.
        (Some(last), _) => match from(connection, expected, transition, Some(last.clone()), release).await? {
            Made::Changed(stored) => return Ok(SaveOutcome::Done(stored)),
            Made::Nothing { released } => released,
        },
        (None, Some(Release { lock, ownership, delete_may_land_until })) => {
            shared_objects::update(
                connection,
                lock,
                *ownership,
                *delete_may_land_until,
                AfterUpdate::ReleaseLock,
            )
            .await?
        }
        (None, None) => false,
    };
    if release.is_some() && !released {
        return Ok(SaveOutcome::LockLost);
    }
    lock_then_save(connection, expected, transition).await
}

async fn lock_then_save(
    connection: &mut PgConnection,
    expected: &Expected,
    transition: &Transition,
) -> Result<SaveOutcome, StoreError> {
    let mut transaction = connection.begin().await?;
    let row = sqlx::query(
        "SELECT last_seq AS seq, last_hash AS hash FROM grants
         WHERE id = $1 AND version = $2 AND ($3 IS NULL OR last_heartbeat = $3) FOR NO KEY UPDATE",
    )
    .bind(expected.id.as_str())
    .bind(expected.version)
    .bind(millis(expected.last_heartbeat))
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(SaveOutcome::Conflict) };
    let made = from(&mut transaction, expected, transition, LastRow::read(&row)?, None).await?;
    transaction.commit().await?;
    Ok(match made {
        Made::Changed(stored) => SaveOutcome::Done(stored),
        Made::Nothing { .. } => SaveOutcome::Conflict,
    })
}

#[expect(
    clippy::large_enum_variant,
    reason = "one per request, and read at once: a box would be in every pattern"
)]
enum Made {
    Changed(GrantRecord),
    Nothing { released: bool },
}

/// Saves if the timeline ends with this event and the grant and the lock are as they were read.
async fn from(
    connection: &mut PgConnection,
    expected: &Expected,
    transition: &Transition,
    last: Option<LastRow>,
    release: Option<&Release>,
) -> Result<Made, StoreError> {
    let Transition { grant, events } = transition;
    let recorded = chain::chain(&grant.id, last.as_ref(), events)?;
    let before = last.as_ref().map(|last| i64::from(last.seq));
    let now_last = chain::last_of(&recorded, last);
    let events = Events::of(recorded);
    let shares = release.is_some() || grant.steps.iter().any(|step| step.shared);
    let may_have_more_steps = matches!(grant.state, State::Applying { .. });
    let needed = if may_have_more_steps { bind::shared_objects_of(grant) } else { Vec::new() };
    let query = sqlx::query(if shares { SAVE_SHARED } else { SAVE })
        .bind(expected.id.as_str())
        .bind(expected.version)
        .bind(grant.status().as_str())
        .bind(millis(grant.due_at()))
        .bind(rows::body(grant)?)
        .bind(grant.needs_heartbeats())
        .bind(i64::from(Lease::MISSED))
        .bind(now_last.as_ref().map(|last| i64::from(last.seq)))
        .bind(now_last.as_ref().map(|last| last.hash.clone()))
        .bind(millis(expected.last_heartbeat))
        .bind(before)
        .bind(expected.status.as_str());
    // For the lock on shared objects and for counts of the last hour, a grant that waited begins when it is collected.
    let begins_at = grant.approval.as_ref().map(|_| grant.begins_at());
    let mut query = events.bind(query).bind(needed).bind(millis(begins_at));
    if shares {
        let (ownership, write_may_land_until) =
            release.map_or((None, None), |release| rows::ownership_columns(release.ownership));
        query = query
            .bind(if grant.status().is_final() { bind::shared_objects_of(grant) } else { Vec::new() })
            .bind(release.map(|release| release.lock.object.as_str()))
            .bind(release.map(|release| release.lock.fencing_token))
            .bind(ownership)
            .bind(write_may_land_until)
            .bind(release.and_then(|release| millis(release.delete_may_land_until)));
    }
    let row: Option<PgRow> = query.fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(Made::Nothing { released: false }) };
    if shares && row.maybe_number("version")?.is_none() {
        return Ok(Made::Nothing { released: row.number("released")? > 0 });
    }
    Ok(Made::Changed(rows::saved(&row, grant.clone(), now_last)?))
}

pub(super) async fn heartbeat(
    connection: &mut PgConnection,
    id: &GrantId,
    agent: &AgentId,
    key: &IdempotencyKey,
    now: Timestamp,
) -> Result<HeartbeatOutcome, StoreError> {
    // A grant without a lease has no `last_heartbeat`, and gets none.
    let heard = sqlx::query(
        "UPDATE grants SET last_heartbeat = CASE WHEN last_heartbeat < $4 THEN $4 ELSE last_heartbeat END,
                lease_expires_at = CASE WHEN last_heartbeat < $4 THEN $4 ELSE last_heartbeat END + heartbeat_interval * $5
         WHERE id = $1 AND agent_id = $2 AND idem_key = $3 AND status IN ('pending_approval', 'active')
         RETURNING body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation",
    )
    .bind(id.as_str())
    .bind(agent.as_str())
    .bind(key.as_str())
    .bind(now.as_millis())
    .bind(i64::from(Lease::MISSED))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = heard {
        return Ok(HeartbeatOutcome::Recorded(rows::grant(&row)?));
    }
    let ended = grants::find(connection, id)
        .await?
        .filter(|stored| stored.grant.agent_id == *agent && stored.grant.key.as_ref() == Some(key));
    Ok(ended.map_or(HeartbeatOutcome::Unknown, HeartbeatOutcome::Ended))
}
