//! Deletes expired rows in batches.

use protocol::Timestamp;
use sqlx::SqliteConnection;

use crate::StoreError;

/// One statement for each table, with the time and a number of rows as arguments.
pub(super) const ALL: [&str; 8] = [
    "DELETE FROM consumed_oidc_tokens WHERE token_hash IN
         (SELECT token_hash FROM consumed_oidc_tokens WHERE forget_after <= ?1 LIMIT ?2)",
    "DELETE FROM idempotency_key_tombstones WHERE (agent_id, idem_key) IN
         (SELECT agent_id, idem_key FROM idempotency_key_tombstones WHERE forget_after <= ?1 LIMIT ?2)",
    "DELETE FROM auth_tokens WHERE id IN (SELECT id FROM auth_tokens WHERE expires_at <= ?1 LIMIT ?2)",
    "DELETE FROM posture WHERE (subject, source) IN
         (SELECT subject, source FROM posture WHERE expires_at <= ?1 LIMIT ?2)",
    "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_at <= ?1 LIMIT ?2)",
    "DELETE FROM standing_approvals WHERE id IN
         (SELECT id FROM standing_approvals WHERE forget_after <= ?1 LIMIT ?2)",
    "DELETE FROM break_glass_codes WHERE id IN
         (SELECT id FROM break_glass_codes WHERE forget_after <= ?1 LIMIT ?2)",
    "DELETE FROM notifications WHERE id IN
         (SELECT id FROM notifications WHERE forget_after <= ?1 LIMIT ?2)",
];

pub(super) const BATCH_SIZE: u32 = 500;

/// Whether another batch may find more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    No,
    Maybe,
}

pub(super) async fn purge_batch(
    connection: &mut SqliteConnection,
    what: &'static str,
    now: Timestamp,
) -> Result<More, StoreError> {
    let done = sqlx::query(what).bind(now.as_millis()).bind(BATCH_SIZE).execute(connection).await?;
    Ok(if done.rows_affected() < u64::from(BATCH_SIZE) { More::No } else { More::Maybe })
}
