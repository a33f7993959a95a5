//! Stores sealed break-glass codes.

use async_trait::async_trait;
use domain::SealedCode;
use protocol::{BreakGlassCodeId, Timestamp};
use sqlx::{Connection, PgConnection, Row};

use super::Postgres;
use crate::break_glass::{body, forget_after, stored};
use crate::{ListedCode, SealedCodes, StoreError};

#[async_trait]
impl SealedCodes for Postgres {
    async fn add_sealed_codes(&self, new: &[SealedCode]) -> Result<(), StoreError> {
        self.run(new, |connection, new| Box::pin(add(connection, new))).await
    }

    async fn sealed_code(&self, hash: &str) -> Result<Option<SealedCode>, StoreError> {
        self.run(hash, |connection, hash| Box::pin(get(connection, hash))).await
    }

    async fn sealed_codes(&self, now: Timestamp) -> Result<Vec<ListedCode>, StoreError> {
        self.run(now, |connection, now| Box::pin(list(connection, *now))).await
    }

    async fn remove_sealed_code(&self, id: &BreakGlassCodeId) -> Result<Option<SealedCode>, StoreError> {
        self.run(id, |connection, id| Box::pin(remove(connection, id))).await
    }
}

async fn add(connection: &mut PgConnection, new: &[SealedCode]) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    for code in new {
        sqlx::query(
            "INSERT INTO break_glass_codes (id, hash, body, expires_at, forget_after) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(code.id.as_str())
        .bind(&code.hash)
        .bind(body(code)?)
        .bind(code.expires_at.as_millis())
        .bind(forget_after(code).as_millis())
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn get(connection: &mut PgConnection, hash: &str) -> Result<Option<SealedCode>, StoreError> {
    let row = sqlx::query("SELECT body FROM break_glass_codes WHERE hash = $1")
        .bind(hash)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(stored).transpose()
}

async fn list(connection: &mut PgConnection, now: Timestamp) -> Result<Vec<ListedCode>, StoreError> {
    let rows = sqlx::query(
        "SELECT body, EXISTS (SELECT 1 FROM consumed_oidc_tokens WHERE token_hash = hash) AS used
         FROM break_glass_codes WHERE $1 < expires_at ORDER BY expires_at, id",
    )
    .bind(now.as_millis())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(ListedCode { code: stored(row)?, used: row.try_get("used")? })).collect()
}

async fn remove(
    connection: &mut PgConnection,
    id: &BreakGlassCodeId,
) -> Result<Option<SealedCode>, StoreError> {
    let row = sqlx::query("DELETE FROM break_glass_codes WHERE id = $1 RETURNING body")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(stored).transpose()
}
