//! Claims grants that are due.

use domain::Lease;
use sqlx::PgConnection;

use crate::{Due, GrantRecord, StoreError, rows};

/// [`Lease::lost_at`] as two conditions: `lease_expires_at` has come, and this broker has been ready for as long as a
/// lease lasts. `periods` steps from one `heartbeat_interval` to the next by index. Rows that another broker has
/// locked are skipped: it is changing them. Grants that are marked to be decided again come after every other.
pub(super) const CLAIM: &str = "
    WITH RECURSIVE periods (period) AS (
        SELECT min(heartbeat_interval) FROM grants WHERE lease_expires_at IS NOT NULL
        UNION ALL
        SELECT (SELECT min(heartbeat_interval) FROM grants WHERE lease_expires_at IS NOT NULL AND heartbeat_interval > period)
        FROM periods WHERE period IS NOT NULL
    ),
    overdue AS MATERIALIZED (
        SELECT number FROM grants
        WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1)
        ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    silent AS MATERIALIZED (
        SELECT number FROM periods JOIN grants ON heartbeat_interval = period
        WHERE period * $3 <= $1 - $4 AND lease_expires_at <= $1
          AND (claimed_until IS NULL OR claimed_until <= $1)
        LIMIT $2 FOR UPDATE OF grants SKIP LOCKED
    ),
    marked AS MATERIALIZED (
        SELECT number, reevaluate_at FROM grants
        WHERE status IN ('pending_approval', 'active') AND reevaluate_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1)
        ORDER BY reevaluate_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    chosen AS (
        SELECT number, min(turn) AS turn
        FROM (SELECT number, 0 AS turn FROM overdue UNION ALL SELECT number, 0 FROM silent
              UNION ALL SELECT number, reevaluate_at FROM marked) AS due
        GROUP BY number ORDER BY turn LIMIT $2
    )
    UPDATE grants SET claimed_until = $5, version = version + 1
    WHERE number = ANY (ARRAY (SELECT number FROM chosen))
    RETURNING body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, last_seq AS seq, last_hash AS hash";

pub(super) async fn claim(connection: &mut PgConnection, due: Due) -> Result<Vec<GrantRecord>, StoreError> {
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
