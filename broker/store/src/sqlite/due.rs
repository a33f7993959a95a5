//! Claims grants that are due.

use domain::Lease;
use sqlx::SqliteConnection;

use crate::{Due, GrantRecord, StoreError, rows};

/// [`Lease::lost_at`] as two conditions: `lease_expires_at` has come, and this broker has been ready for as long as a
/// lease lasts. `periods` steps from one `heartbeat_interval` to the next by index, so that a broker that starts with
/// a million expired leases reads none of them before it has been ready for long enough. Grants that are marked to be
/// decided again take the places that are left. The sign before a limit keeps SQLite from looking at its value when it
/// plans: it would plan the statement again for every sweep.
pub(super) const CLAIM: &str = "
    WITH RECURSIVE periods (period) AS (
        SELECT min(heartbeat_interval) FROM grants WHERE lease_expires_at IS NOT NULL
        UNION ALL
        SELECT (SELECT min(heartbeat_interval) FROM grants WHERE lease_expires_at IS NOT NULL AND heartbeat_interval > period)
        FROM periods WHERE period IS NOT NULL
    ),
    overdue AS (
        SELECT number FROM grants
        WHERE due_at <= ?1 AND (claimed_until IS NULL OR claimed_until <= ?1)
        ORDER BY due_at LIMIT +?2
    ),
    silent AS (
        SELECT number FROM periods CROSS JOIN grants ON heartbeat_interval = period
        WHERE period * ?3 <= ?1 - ?4 AND lease_expires_at <= ?1
          AND (claimed_until IS NULL OR claimed_until <= ?1)
        LIMIT +?2
    ),
    ending AS (SELECT number FROM overdue UNION SELECT number FROM silent LIMIT +?2),
    marked AS (
        SELECT number FROM grants
        WHERE status IN ('pending_approval', 'active') AND reevaluate_at <= ?1 AND (claimed_until IS NULL OR claimed_until <= ?1)
          AND number NOT IN (SELECT number FROM ending)
        ORDER BY reevaluate_at LIMIT max(0, ?2 - (SELECT count(*) FROM ending))
    )
    UPDATE grants SET claimed_until = ?5, version = version + 1
    WHERE number IN (SELECT number FROM ending UNION ALL SELECT number FROM marked)
    RETURNING body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation";

pub(super) async fn claim(
    connection: &mut SqliteConnection,
    due: Due,
) -> Result<Vec<GrantRecord>, StoreError> {
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
