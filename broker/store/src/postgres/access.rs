//! How does a question or a change get to a connection, and what if the database does not do it at once?

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{Connection, PgConnection};

use super::Postgres;
use crate::StoreError;

/// A statement takes milliseconds; the server gives up sooner than this, unless it is not heard any more.
const PATIENCE: Duration = Duration::from_secs(15);
/// Two that stand in each other's way are told so, and one of them has lost nothing by trying again.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(5);

/// Nothing was heard of the database for this long. What was asked for is done as a whole or not at all.
#[derive(Debug, thiserror::Error)]
#[error("the database did not answer within {} seconds", PATIENCE.as_secs())]
struct NotHeard;

impl Postgres {
    /// Runs what `work` does with a connection and this input: one statement, or a transaction that it begins and ends.
    pub(super) async fn run<I: Sync, T>(
        &self,
        input: I,
        work: for<'c> fn(&'c mut PgConnection, &'c I) -> BoxFuture<'c, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut tries = 1;
        loop {
            match self.once(&input, work).await {
                Err(error) if tries < TRIES && was_in_the_way(&error) => {
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
        match tokio::time::timeout(PATIENCE, work(connection, input)).await {
            Ok(Ok(value)) => {
                lent.give_back();
                Ok(value)
            }
            Ok(Err(error)) if lost_connection(&error) => {
                self.pool.was_cut();
                Err(error)
            }
            Ok(Err(error)) => {
                // Ends a transaction in which it came.
                if connection.ping().await.is_ok() {
                    lent.give_back();
                }
                Err(error)
            }
            Err(_) => {
                self.pool.was_cut();
                Err(StoreError::Unavailable(Box::new(NotHeard)))
            }
        }
    }
}

/// The transaction was rolled back because of another one: a serialization failure or a deadlock.
fn was_in_the_way(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    let Some(sqlx::Error::Database(refusal)) = source.downcast_ref() else { return false };
    matches!(refusal.code().as_deref(), Some("40001" | "40P01"))
}

/// Whatever the database itself did not say came from the way to it; and it may say that it hangs up.
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
