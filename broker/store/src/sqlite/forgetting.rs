//! What need not be remembered any more?

use protocol::Timestamp;
use sqlx::SqliteConnection;

use crate::StoreError;

/// What is forgotten, each by a statement that takes the time and a number of rows.
pub(super) const ALL: [&str; 3] = [
    "DELETE FROM used_tokens WHERE token_hash IN
         (SELECT token_hash FROM used_tokens WHERE forget_after <= ?1 LIMIT ?2)",
    "DELETE FROM given_back_keys WHERE (agent_id, idem_key) IN
         (SELECT agent_id, idem_key FROM given_back_keys WHERE forget_after <= ?1 LIMIT ?2)",
    "DELETE FROM auth_tokens WHERE id IN (SELECT id FROM auth_tokens WHERE expires_at <= ?1 LIMIT ?2)",
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
    connection: &mut SqliteConnection,
    what: &'static str,
    now: Timestamp,
) -> Result<Left, StoreError> {
    let done = sqlx::query(what).bind(now.as_millis()).bind(PIECE).execute(connection).await?;
    Ok(if done.rows_affected() < u64::from(PIECE) { Left::Nothing } else { Left::Perhaps })
}
