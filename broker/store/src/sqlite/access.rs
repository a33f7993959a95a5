//! How does a question or a change get to a connection?

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;

use super::Sqlite;
use super::change::Change;
use crate::StoreError;

impl Sqlite {
    /// For what gives something: taking back goes on even in a file that nobody will find again.
    pub(super) fn still_there(&self) -> Result<(), StoreError> {
        match &self.file {
            Some(file) => file.check(),
            None => Ok(()),
        }
    }

    /// For a change whose texts are its own business.
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

    /// For a change of agents or tokens.
    pub(super) async fn write_credentials<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let forget = self.credentials.forget_then();
        let write = self.write(move |connection| {
            Box::pin(async move {
                let done = work(connection).await?;
                Ok((done, forget))
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
