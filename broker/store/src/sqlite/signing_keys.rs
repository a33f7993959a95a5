//! Stores the keys that sign credentials of `token` grants.

use protocol::Timestamp;
use sqlx::SqliteConnection;

use crate::{StoreError, StoredKey, rows};

pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Vec<StoredKey>, StoreError> {
    let found =
        sqlx::query("SELECT kid, private_pem, created_at FROM signing_keys ORDER BY created_at, number")
            .fetch_all(connection)
            .await?;
    found.iter().map(rows::signing_key).collect()
}

pub(super) async fn add(
    connection: &mut SqliteConnection,
    key: StoredKey,
    newest: Option<String>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO signing_keys (kid, private_pem, created_at) SELECT ?1, ?2, ?3
         WHERE (SELECT kid FROM signing_keys ORDER BY created_at DESC, number DESC LIMIT 1) IS ?4",
    )
    .bind(key.kid)
    .bind(key.private_pem.reveal())
    .bind(key.created_at.as_millis())
    .bind(newest)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn remove(connection: &mut SqliteConnection, before: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM signing_keys WHERE created_at < ?1
         AND number <> (SELECT number FROM signing_keys ORDER BY created_at DESC, number DESC LIMIT 1)",
    )
    .bind(before.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}
