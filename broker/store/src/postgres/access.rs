//! How does a question or a change get to a connection, and what if the database does not do it at once?

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

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
        let mut connection = self.pool.acquire().await?;
        let done = tokio::time::timeout(PATIENCE, work(&mut connection, input)).await;
        if !matches!(&done, Ok(Ok(_))) && done.as_ref().map_or(true, lost_connection) {
            connection.close_on_drop();
            self.cut.happened();
        }
        done.unwrap_or_else(|_| Err(StoreError::Unavailable(Box::new(NotHeard))))
    }
}

/// The transaction was rolled back because of another one: a serialization failure or a deadlock.
fn was_in_the_way(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    let Some(sqlx::Error::Database(refusal)) = source.downcast_ref() else { return false };
    matches!(refusal.code().as_deref(), Some("40001" | "40P01"))
}

/// Whatever the database itself did not say came from the way to it; and it may say that it hangs up.
fn lost_connection<T>(done: &Result<T, StoreError>) -> bool {
    match done {
        Err(StoreError::Unavailable(source)) => {
            let Some(sqlx::Error::Database(refusal)) = source.downcast_ref() else { return true };
            let severity = refusal.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
            matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
        }
        Ok(_) | Err(StoreError::Corrupt { .. }) => false,
    }
}
