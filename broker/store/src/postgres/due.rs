//! Which grants need something done now?

use domain::Lease;
use sqlx::PgConnection;

use crate::{Due, StoreError, Stored, rows};

/// The arithmetic of [`Lease::lost_at`] in two conditions, `silent_at` having come and this broker having
/// listened for as long as the lease allows; `rhythms` jumps from one `beat_every` to the next. What another broker
/// is claiming or changing at this moment is passed over: it is no longer as it was seen.
pub(super) const CLAIM: &str = "
    WITH RECURSIVE rhythms (every) AS (
        SELECT min(beat_every) FROM grants WHERE silent_at IS NOT NULL
        UNION ALL
        SELECT (SELECT min(beat_every) FROM grants WHERE silent_at IS NOT NULL AND beat_every > every)
        FROM rhythms WHERE every IS NOT NULL
    ),
    overdue AS MATERIALIZED (
        SELECT n FROM grants
        WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1)
        ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    silent AS MATERIALIZED (
        SELECT n FROM rhythms JOIN grants ON beat_every = every
        WHERE every * $3 <= $1 - $4 AND silent_at <= $1
          AND (claimed_until IS NULL OR claimed_until <= $1)
        LIMIT $2 FOR UPDATE OF grants SKIP LOCKED
    )
    UPDATE grants SET claimed_until = $5, version = version + 1
    WHERE n = ANY (ARRAY (SELECT n FROM overdue UNION SELECT n FROM silent LIMIT $2))
    RETURNING body, version, beat_every, last_beat, last_seq AS seq, last_hash AS hash";

pub(super) async fn claim(connection: &mut PgConnection, due: Due) -> Result<Vec<Stored>, StoreError> {
    let found = sqlx::query(CLAIM)
        .bind(due.now.as_millis())
        .bind(i64::from(due.limit))
        .bind(i64::from(Lease::MISSED))
        .bind(due.ready_since.as_millis())
        .bind(due.claimed_until.as_millis())
        .fetch_all(connection)
        .await?;
    Ok(rows::readable(found.iter().map(rows::grant_with_last_row)))
}
