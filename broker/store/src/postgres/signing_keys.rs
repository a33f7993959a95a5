//! Stores the keys that sign credentials of `token` grants.

use protocol::Timestamp;
use sqlx::PgConnection;

use crate::{StoreError, StoredKey, rows};

pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<StoredKey>, StoreError> {
    let found =
        sqlx::query("SELECT kid, private_pem, created_at FROM signing_keys ORDER BY created_at, number")
            .fetch_all(connection)
            .await?;
    found.iter().map(rows::signing_key).collect()
}

/// Two brokers that rotate at once both follow the same key, and a unique index lets only one of them insert.
pub(super) async fn add(
    connection: &mut PgConnection,
    key: &StoredKey,
    newest: Option<&str>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO signing_keys (kid, follows, private_pem, created_at)
         SELECT $1, coalesce($4, ''), $2, $3
         WHERE (SELECT kid FROM signing_keys ORDER BY created_at DESC, number DESC LIMIT 1) IS NOT DISTINCT FROM $4
         ON CONFLICT (follows) DO NOTHING",
    )
    .bind(&key.kid)
    .bind(key.private_pem.reveal())
    .bind(key.created_at.as_millis())
    .bind(newest)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn remove(connection: &mut PgConnection, before: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM signing_keys WHERE created_at < $1
         AND number <> (SELECT number FROM signing_keys ORDER BY created_at DESC, number DESC LIMIT 1)",
    )
    .bind(before.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}
