//! Stores sessions of persons.

use domain::Session;
use protocol::Timestamp;
use sqlx::PgConnection;

use crate::{StoreError, StoredSession, UnclaimedSession, sessions};

pub(super) async fn add(connection: &mut PgConnection, new: &UnclaimedSession<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sessions (hash, challenge, body, last_used_at, ends_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.code_hash)
    .bind(new.challenge)
    .bind(sessions::body(new.session)?)
    .bind(new.session.started_at.as_millis())
    .bind(new.session.ends_at.as_millis())
    .bind(new.claim_until.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}

/// The arguments of [`claim`].
pub(super) struct Claim<'a> {
    pub(super) code_hash: &'a str,
    pub(super) challenge: &'a str,
    pub(super) token_hash: &'a str,
    pub(super) now: Timestamp,
}

pub(super) async fn claim(
    connection: &mut PgConnection,
    claim: &Claim<'_>,
) -> Result<Option<Session>, StoreError> {
    let row = sqlx::query(
        "UPDATE sessions SET hash = $4, challenge = NULL, last_used_at = $3, expires_at = ends_at
         WHERE hash = $1 AND challenge = $2 AND $3 < expires_at RETURNING body, last_used_at",
    )
    .bind(claim.code_hash)
    .bind(claim.challenge)
    .bind(claim.now.as_millis())
    .bind(claim.token_hash)
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(sessions::stored).transpose()?.map(|stored| stored.session))
}

pub(super) async fn get(
    connection: &mut PgConnection,
    token_hash: &str,
) -> Result<Option<StoredSession>, StoreError> {
    let row = sqlx::query("SELECT body, last_used_at FROM sessions WHERE hash = $1 AND challenge IS NULL")
        .bind(token_hash)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(sessions::stored).transpose()
}

pub(super) async fn used(
    connection: &mut PgConnection,
    token_hash: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE sessions SET last_used_at = greatest(last_used_at, $2) WHERE hash = $1")
        .bind(token_hash)
        .bind(now.as_millis())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn remove(connection: &mut PgConnection, token_hash: &str) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM sessions WHERE hash = $1 AND challenge IS NULL")
        .bind(token_hash)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}
