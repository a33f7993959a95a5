//! How does a grant change, and only from the state that was looked at?

use domain::grant::Moved;
use domain::{Lease, State};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};

use super::written::{self, Events, millis};
use super::{grants, shared};
use crate::chain::{self, LastRow};
use crate::columns::Columns;
use crate::rows::{self, Seen};
use crate::{Beat, Release, SaveOutcome, StoreError, Stored, Then};

/// The lease's columns are not the caller's to write: a beat may have come since it read them.
macro_rules! change {
    ($first:literal, $if_so:literal, $more:literal, $answer:literal) => {
        concat!(
            "WITH ",
            $first,
            "changed AS (
                UPDATE grants SET version = version + 1, claimed_until = NULL, status = $3, due_at = $4, body = $5,
                       silent_at = CASE WHEN $6 THEN last_beat + beat_every * $7 END,
                       last_seq = $8, last_hash = $9
                WHERE id = $1 AND version = $2 AND ($10 IS NULL OR last_beat = $10)
                  AND last_seq IS NOT DISTINCT FROM $11",
            $if_so,
            " RETURNING n, version, beat_every, last_beat
            ),
            told AS (
                INSERT INTO events (grant_n, seq, at, kind, source, text, data, prev_hash, hash)
                SELECT n, new.* FROM changed, unnest($13::BIGINT[], $14::BIGINT[], $15::TEXT[],
                    $16::TEXT[], $17::TEXT[], $18::TEXT[], $19::TEXT[], $20::TEXT[]) AS new
            ),
            needed AS (
                INSERT INTO needs (object, grant_n)
                SELECT DISTINCT object, n FROM changed, unnest($21::TEXT[]) AS object
                ON CONFLICT DO NOTHING
            ),
            counted AS (
                INSERT INTO grant_counts (status, change) SELECT status, change
                FROM changed, (VALUES ($12, -1), ($3, 1)) AS moved (status, change) WHERE $12 <> $3
            )",
            $more,
            $answer
        )
    };
}

const SAVE: &str = change!("", "", "", " SELECT version, beat_every, last_beat FROM changed");

/// For a grant that shares objects: lets one go, if one is named, and forgets what a grant that is final needed.
const SAVE_SHARED: &str = change!(
    "released AS (
        UPDATE shared SET whose = $25, ours_until = $26, may_go_until = $27, held_until = NULL
        WHERE object = $23 AND fence = $24 RETURNING 1
    ), ",
    " AND ($23::TEXT IS NULL OR EXISTS (SELECT 1 FROM released))",
    ", forgotten AS (
        DELETE FROM needs USING changed WHERE grant_n = n AND object = ANY ($22::TEXT[])
    )",
    " SELECT version, beat_every, last_beat, (SELECT count(*) FROM released) AS released
      FROM (SELECT 1) AS one LEFT JOIN changed ON true"
);

/// A lock is released even if the grant is not changed: the driver that has it would do so next.
pub(super) async fn save(
    connection: &mut PgConnection,
    seen: &Seen,
    moved: &Moved,
    release: Option<&Release>,
) -> Result<SaveOutcome, StoreError> {
    let released = match (&seen.last_row, release) {
        // The usual case in one statement: nobody has written to the timeline since it was read.
        (Some(last), _) => match from(connection, seen, moved, Some(last.clone()), release).await? {
            Made::Changed(stored) => return Ok(SaveOutcome::Done(stored)),
            Made::Nothing { released } => released,
        },
        (None, Some(Release { hold, whose, may_go_until })) => {
            shared::note(connection, hold, *whose, *may_go_until, Then::Release).await?
        }
        (None, None) => false,
    };
    if release.is_some() && !released {
        return Ok(SaveOutcome::LockLost);
    }
    step_by_step(connection, seen, moved).await
}

async fn step_by_step(
    connection: &mut PgConnection,
    seen: &Seen,
    moved: &Moved,
) -> Result<SaveOutcome, StoreError> {
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
    let Some(row) = row else { return Ok(SaveOutcome::Conflict) };
    let made = from(&mut transaction, seen, moved, LastRow::read(&row)?, None).await?;
    transaction.commit().await?;
    Ok(match made {
        Made::Changed(stored) => SaveOutcome::Done(stored),
        Made::Nothing { .. } => SaveOutcome::Conflict,
    })
}

/// What a change came to.
#[expect(
    clippy::large_enum_variant,
    reason = "one per request, and read at once: a box would be in every pattern"
)]
enum Made {
    Changed(Stored),
    Nothing { released: bool },
}

/// Makes the change if the timeline's last row is this one, and everything else is as it was seen.
async fn from(
    connection: &mut PgConnection,
    seen: &Seen,
    moved: &Moved,
    last: Option<LastRow>,
    release: Option<&Release>,
) -> Result<Made, StoreError> {
    let Moved { grant, events } = moved;
    let told = chain::chain(&grant.id, last.as_ref(), events)?;
    let before = last.as_ref().map(|last| i64::from(last.seq));
    let now_last = chain::last_of(&told, last);
    let events = Events::of(told);
    let shares = release.is_some() || grant.steps.iter().any(|step| step.shared);
    let may_have_more_steps = matches!(grant.state, State::Applying { .. });
    let needed = if may_have_more_steps { written::shared_by(grant) } else { Vec::new() };
    let query = sqlx::query(if shares { SAVE_SHARED } else { SAVE })
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
        .bind(seen.status.as_str());
    let mut query = events.bind(query).bind(needed);
    if shares {
        let (whose, ours_until) = release.map_or((None, None), |release| rows::whose_columns(release.whose));
        query = query
            .bind(if grant.status().is_final() { written::shared_by(grant) } else { Vec::new() })
            .bind(release.map(|release| release.hold.object.as_str()))
            .bind(release.map(|release| release.hold.fence))
            .bind(whose)
            .bind(ours_until)
            .bind(release.and_then(|release| millis(release.may_go_until)));
    }
    let row: Option<PgRow> = query.fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(Made::Nothing { released: false }) };
    if shares && row.maybe_number("version")?.is_none() {
        return Ok(Made::Nothing { released: row.number("released")? > 0 });
    }
    Ok(Made::Changed(rows::saved(&row, grant.clone(), now_last)?))
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
