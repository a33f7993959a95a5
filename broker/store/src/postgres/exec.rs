//! Runs statements on pooled connections, with retries and a timeout.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{Connection, PgConnection};

use super::Postgres;
use crate::StoreError;

/// Statements take milliseconds, and the server cancels them sooner than this, if it is reachable.
const QUERY_TIMEOUT: Duration = Duration::from_secs(15);
/// After a deadlock or serialization failure.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(5);

/// The server did not answer in time. The change is applied as a whole or not at all.
#[derive(Debug, thiserror::Error)]
#[error("the database did not answer within {} seconds", QUERY_TIMEOUT.as_secs())]
struct NoAnswer;

impl Postgres {
    /// Runs `work` with a connection and this input: one statement, or a transaction that `work` begins and ends.
    pub(super) async fn run<I: Sync, T>(
        &self,
        input: I,
        work: for<'c> fn(&'c mut PgConnection, &'c I) -> BoxFuture<'c, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut tries = 1;
        loop {
            match self.once(&input, work).await {
                Err(error) if tries < TRIES && is_retryable(&error) => {
                    tokio::time::sleep(PAUSE * tries).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn once<I: Sync, T>(
        &self,
        input: &I,
        work: for<'c> fn(&'c mut PgConnection, &'c I) -> BoxFuture<'c, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut lent = self.pool.get().await?;
        let connection = lent.connection()?;
        match tokio::time::timeout(QUERY_TIMEOUT, work(connection, input)).await {
            Ok(Ok(value)) => {
                lent.recycle();
                Ok(value)
            }
            Ok(Err(error)) if lost_connection(&error) => {
                self.pool.mark_broken();
                Err(error)
            }
            Ok(Err(error)) => {
                // Also ends a failed transaction.
                if connection.ping().await.is_ok() {
                    lent.recycle();
                }
                Err(error)
            }
            Err(_) => {
                self.pool.mark_broken();
                Err(StoreError::Unavailable(Box::new(NoAnswer)))
            }
        }
    }
}

/// Another transaction was the cause: a serialization failure or a deadlock.
fn is_retryable(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    let Some(sqlx::Error::Database(refusal)) = source.downcast_ref() else { return false };
    matches!(refusal.code().as_deref(), Some("40001" | "40P01"))
}

/// An error that the server did not report came from the connection, and the server may close it with an error.
fn lost_connection(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(source) => {
            let Some(sqlx::Error::Database(refusal)) = source.downcast_ref() else { return true };
            let severity = refusal.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
            matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
        }
        StoreError::Corrupt { .. } => false,
    }
}
