//! Deletes expired rows in batches.

use protocol::Timestamp;
use sqlx::PgConnection;

use crate::StoreError;

/// One statement for each table, with the time and a number of rows as arguments. Concurrent brokers delete different
/// rows.
pub(super) const ALL: [&str; 8] = [
    "DELETE FROM consumed_oidc_tokens WHERE token_hash = ANY (ARRAY
         (SELECT token_hash FROM consumed_oidc_tokens WHERE forget_after <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM idempotency_keys USING
         (SELECT agent_id, idem_key FROM idempotency_keys WHERE forget_after <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED) AS over
         WHERE idempotency_keys.agent_id = over.agent_id AND idempotency_keys.idem_key = over.idem_key",
    "DELETE FROM auth_tokens WHERE id = ANY (ARRAY
         (SELECT id FROM auth_tokens WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM posture USING
         (SELECT subject, source FROM posture WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED) AS over
         WHERE posture.subject = over.subject AND posture.source = over.source",
    "DELETE FROM sessions WHERE hash = ANY (ARRAY
         (SELECT hash FROM sessions WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM standing_approvals WHERE id = ANY (ARRAY
         (SELECT id FROM standing_approvals WHERE forget_after <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM break_glass_codes WHERE id = ANY (ARRAY
         (SELECT id FROM break_glass_codes WHERE forget_after <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM notifications WHERE id = ANY (ARRAY
         (SELECT id FROM notifications WHERE forget_after <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
];

pub(super) const BATCH_SIZE: u32 = 500;

/// Whether another batch may find more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    No,
    Maybe,
}

pub(super) async fn purge_batch(
    connection: &mut PgConnection,
    what: &'static str,
    now: Timestamp,
) -> Result<More, StoreError> {
    let done =
        sqlx::query(what).bind(now.as_millis()).bind(i64::from(BATCH_SIZE)).execute(connection).await?;
    Ok(if done.rows_affected() < u64::from(BATCH_SIZE) { More::No } else { More::Maybe })
}

/// Replaces many rows of `grant_counts` by their sums.
pub(super) async fn compact_counts(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query(
        "WITH added AS (
             DELETE FROM grant_counts WHERE ctid = ANY (ARRAY
                 (SELECT ctid FROM grant_counts FOR UPDATE SKIP LOCKED))
             RETURNING status, change
         )
         INSERT INTO grant_counts (status, change)
         SELECT status, sum(change) FROM added GROUP BY status HAVING sum(change) <> 0",
    )
    .execute(connection)
    .await?;
    Ok(())
}
