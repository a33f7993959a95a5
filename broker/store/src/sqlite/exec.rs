//! Runs reads and changes on a connection.

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;

use super::Sqlite;
use super::batch::Change;
use crate::StoreError;

impl Sqlite {
    /// Checked by changes that grant access. Revokes go on even in a file that no other process will find.
    pub(super) fn ensure_file_unchanged(&self) -> Result<(), StoreError> {
        match &self.file {
            Some(file) => file.check(),
            None => Ok(()),
        }
    }

    /// Runs a change that builds its own texts.
    pub(super) async fn change<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Change<'c>) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.writer.write(work).await
    }

    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.change(|change| Box::pin(async move { work(change.begin().await?).await })).await
    }

    /// Runs a change of agents or tokens, which invalidates the cache.
    pub(super) async fn write_credentials<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let purge = self.credentials.invalidate_on_drop();
        let write = self.write(move |connection| {
            Box::pin(async move {
                let done = work(connection).await?;
                Ok((done, purge))
            })
        });
        write.await.map(|(done, _forget)| done)
    }

    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        match &self.readers {
            Some(readers) => work(&mut *readers.acquire().await?).await,
            None => self.write(work).await,
        }
    }
}
