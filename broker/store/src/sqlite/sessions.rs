//! Stores sessions of persons.

use domain::Session;
use protocol::Timestamp;
use sqlx::SqliteConnection;

use crate::{PendingSession, StoreError, StoredSession, sessions};

/// A pending session, with values of its own.
pub(super) struct New {
    code_hash: String,
    challenge: String,
    session: Session,
    code_expires_at: Timestamp,
}

impl From<PendingSession<'_>> for New {
    fn from(new: PendingSession<'_>) -> Self {
        Self {
            code_hash: new.code_hash.to_owned(),
            challenge: new.challenge.to_owned(),
            session: new.session.clone(),
            code_expires_at: new.code_expires_at,
        }
    }
}

pub(super) async fn add(connection: &mut SqliteConnection, new: New) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sessions (hash, issuer, subject, challenge, body, last_used_at, ends_at, expires_at)
         VALUES (?1, ?7, ?8, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(&new.code_hash)
    .bind(&new.challenge)
    .bind(sessions::body(&new.session)?)
    .bind(new.session.started_at.as_millis())
    .bind(new.session.ends_at.as_millis())
    .bind(new.code_expires_at.as_millis())
    .bind(&new.session.person.issuer)
    .bind(&new.session.person.subject)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn exchange(
    connection: &mut SqliteConnection,
    code_hash: String,
    challenge: String,
    token_hash: String,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    let row = sqlx::query(
        "UPDATE sessions SET hash = ?4, challenge = NULL, last_used_at = ?3, expires_at = ends_at
         WHERE hash = ?1 AND challenge = ?2 AND ?3 < expires_at RETURNING body, last_used_at",
    )
    .bind(&code_hash)
    .bind(&challenge)
    .bind(now.as_millis())
    .bind(&token_hash)
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(sessions::stored).transpose()?.map(|stored| stored.session))
}

pub(super) async fn get(
    connection: &mut SqliteConnection,
    token_hash: String,
) -> Result<Option<StoredSession>, StoreError> {
    let row = sqlx::query("SELECT body, last_used_at FROM sessions WHERE hash = ?1 AND challenge IS NULL")
        .bind(&token_hash)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(sessions::stored).transpose()
}

pub(super) async fn used(
    connection: &mut SqliteConnection,
    token_hash: String,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE sessions SET last_used_at = max(last_used_at, ?2) WHERE hash = ?1")
        .bind(&token_hash)
        .bind(now.as_millis())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn remove(
    connection: &mut SqliteConnection,
    token_hash: String,
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM sessions WHERE hash = ?1 AND challenge IS NULL")
        .bind(&token_hash)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<StoredSession>, StoreError> {
    let rows = sqlx::query(
        "SELECT body, last_used_at FROM sessions WHERE challenge IS NULL AND ?1 < expires_at
         ORDER BY last_used_at DESC, hash LIMIT ?2",
    )
    .bind(now.as_millis())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(sessions::stored).collect()
}

pub(super) async fn remove_of(
    connection: &mut SqliteConnection,
    issuer: String,
    subject: String,
) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM sessions WHERE issuer = ?1 AND subject = ?2")
        .bind(&issuer)
        .bind(&subject)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
