//! What need not be remembered any more?

use protocol::Timestamp;
use sqlx::PgConnection;

use crate::StoreError;

/// What is forgotten, each by a statement that takes the time and a number of rows. Brokers that forget at once take
/// different rows.
pub(super) const ALL: [&str; 3] = [
    "DELETE FROM used_tokens WHERE token_hash = ANY (ARRAY
         (SELECT token_hash FROM used_tokens WHERE forget_after <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM keys USING
         (SELECT agent_id, idem_key FROM keys WHERE forget_after <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED) AS over
         WHERE keys.agent_id = over.agent_id AND keys.idem_key = over.idem_key",
    "DELETE FROM auth_tokens WHERE id = ANY (ARRAY
         (SELECT id FROM auth_tokens WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
];

/// So many at once.
pub(super) const PIECE: u32 = 500;

/// Whether another try would find more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    Perhaps,
}

pub(super) async fn some(
    connection: &mut PgConnection,
    what: &'static str,
    now: Timestamp,
) -> Result<Left, StoreError> {
    let done = sqlx::query(what).bind(now.as_millis()).bind(i64::from(PIECE)).execute(connection).await?;
    Ok(if done.rows_affected() < u64::from(PIECE) { Left::Nothing } else { Left::Perhaps })
}

/// Puts one row in the place of many.
pub(super) async fn add_up_counts(connection: &mut PgConnection) -> Result<(), StoreError> {
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
