//! Which grants need something done now?

use domain::Lease;
use sqlx::SqliteConnection;

use crate::{Due, StoreError, Stored, rows};

/// The arithmetic of [`Lease::lost_at`] in two conditions, `silent_at` having come and this broker having
/// listened for as long as the lease allows. Leases differ in little but their beginning: `rhythms` jumps
/// from one `beat_every` to the next, so that a start with a million silent holders looks at none of them
/// until it has listened long enough.
pub(super) const CLAIM: &str = "
    WITH RECURSIVE rhythms (every) AS (
        SELECT min(beat_every) FROM grants WHERE silent_at IS NOT NULL
        UNION ALL
        SELECT (SELECT min(beat_every) FROM grants WHERE silent_at IS NOT NULL AND beat_every > every)
        FROM rhythms WHERE every IS NOT NULL
    ),
    overdue AS (
        SELECT n FROM grants
        WHERE due_at <= ?1 AND (claimed_until IS NULL OR claimed_until <= ?1)
        ORDER BY due_at LIMIT ?2
    ),
    silent AS (
        SELECT n FROM rhythms CROSS JOIN grants ON beat_every = every
        WHERE every * ?3 <= ?1 - ?4 AND silent_at <= ?1
          AND (claimed_until IS NULL OR claimed_until <= ?1)
        LIMIT ?2
    )
    UPDATE grants SET claimed_until = ?5, version = version + 1
    WHERE n IN (SELECT n FROM overdue UNION SELECT n FROM silent LIMIT ?2)
    RETURNING body, version, beat_every, last_beat";

pub(super) async fn claim(connection: &mut SqliteConnection, due: Due) -> Result<Vec<Stored>, StoreError> {
    let found = sqlx::query(CLAIM)
        .bind(due.now.as_millis())
        .bind(due.limit)
        .bind(Lease::MISSED)
        .bind(due.ready_since.as_millis())
        .bind(due.claimed_until.as_millis())
        .fetch_all(connection)
        .await?;
    Ok(rows::readable(found.iter().map(rows::grant)))
}
