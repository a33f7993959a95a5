//! Commits changes of many callers in one transaction.
//!
//! One task owns the only connection that writes. It takes the waiting jobs, runs them in one transaction, each under
//! a savepoint if there are several, commits, and then answers. A job that fails rolls back only itself; if the commit
//! fails, every job of the transaction has failed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::batch::{Change, TxScope, TxState};
use super::open::OnDisk;
use crate::StoreError;

/// More jobs would not make a commit cheaper for each, and would delay the first.
const BATCH: usize = 64;
/// Queue capacity; callers wait when it is full.
const QUEUE: usize = 1024;

/// The sender half of the queue.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

/// The commit failed, for this change or for the batch that it was in.
#[derive(Debug, thiserror::Error)]
#[error("the transaction was not committed")]
struct NotCommitted(#[source] Arc<sqlx::Error>);

/// The change did not run, or was interrupted.
#[derive(Debug, thiserror::Error)]
enum NotDone {
    #[error("the task that writes has stopped")]
    Stopped,
    #[error("the change was broken off by a panic")]
    Panicked,
}

impl From<NotDone> for StoreError {
    fn from(error: NotDone) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl Writer {
    /// Starts the task, which ends when the last `Writer` is dropped and the queue is empty. It keeps the file lock
    /// until then, and opens a new connection if sqlx's thread dies.
    pub(super) fn start(connection: SqliteConnection, mut on_disk: Option<OnDisk>) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            run_loop(connection, on_disk.as_mut(), waiting).await;
            if let Some(OnDisk { checkpoints, locked, .. }) = on_disk {
                checkpoints.stop().await;
                drop(locked);
            }
        });
        Self { jobs }
    }

    /// Runs `work` in a transaction and answers after the commit. A job that is queued runs even if the caller stops
    /// waiting.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Change<'c>) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job = Task { work: Some(work), outcome: None, caller };
        self.jobs.send(Box::new(job)).await.map_err(|_| NotDone::Stopped)?;
        answer.await.map_err(|_| NotDone::Stopped)?
    }
}

trait Job: Send {
    /// Runs the change and closes or rolls back its scope. An error means that the whole transaction is lost.
    fn run<'c>(
        &'c mut self,
        connection: &'c mut SqliteConnection,
        frame: TxScope,
    ) -> BoxFuture<'c, sqlx::Result<()>>;
    /// Called once, after the commit or its failure.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: for<'c> FnOnce(Change<'c>) -> BoxFuture<'c, Result<T, StoreError>> + Send,
{
    fn run<'c>(
        &'c mut self,
        connection: &'c mut SqliteConnection,
        frame: TxScope,
    ) -> BoxFuture<'c, sqlx::Result<()>> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return Ok(()) };
            let mut stage = TxState::NotBegun;
            let change = Change::new(&mut *connection, frame, &mut stage);
            // A panic in one change must not end the writer.
            let outcome = AssertUnwindSafe(async move { work(change).await }).catch_unwind().await;
            let outcome = self.outcome.insert(outcome.unwrap_or_else(|_| Err(NotDone::Panicked.into())));
            match (stage, outcome) {
                (TxState::NotBegun | TxState::Closed, _) => Ok(()),
                (TxState::Open, Ok(_)) => execute(connection, frame.closing()).await,
                (TxState::Open, Err(_)) => undo(connection, frame).await,
            }
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.outcome, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(NotDone::Stopped.into()),
        };
        // An error means that the caller stopped waiting.
        let _ = self.caller.send(answer);
    }
}

async fn run_loop(
    mut connection: SqliteConnection,
    mut on_disk: Option<&mut OnDisk>,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let done = match batch.as_mut_slice() {
            [job] => job.run(&mut connection, TxScope::Transaction).await,
            jobs => commit_together(&mut connection, jobs).await,
        };
        let lost = done.err().map(Arc::new);
        let changes = batch.len();
        for job in batch.drain(..) {
            job.answer(match &lost {
                None => Ok(()),
                Some(error) => Err(StoreError::Unavailable(Box::new(NotCommitted(Arc::clone(error))))),
            });
        }
        if let Some(error) = lost {
            tracing::error!(%error, "a transaction was not committed");
            // Fails if SQLite has rolled back by itself.
            let _ = execute(&mut connection, "ROLLBACK").await;
            if let (sqlx::Error::WorkerCrashed, Some(disk)) = (&*error, &on_disk)
                && let Ok(fresh) = disk.reopen.connect().await
            {
                connection = fresh;
            }
        }
        if let Some(disk) = &mut on_disk {
            disk.checkpoints.committed(changes, &mut connection).await;
        }
    }
}

async fn commit_together(connection: &mut SqliteConnection, batch: &mut [Box<dyn Job>]) -> sqlx::Result<()> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    for job in batch {
        job.run(connection, TxScope::Savepoint).await?;
    }
    execute(connection, "COMMIT").await
}

async fn undo(connection: &mut SqliteConnection, frame: TxScope) -> sqlx::Result<()> {
    match (execute(connection, frame.rolling_back()).await, frame) {
        // BEGIN failed, or SQLite has rolled back by itself.
        (Err(sqlx::Error::Database(_)), TxScope::Transaction) => Ok(()),
        // In a batch the savepoint is gone then, and with it the changes of the jobs before.
        (undone, TxScope::Transaction | TxScope::Savepoint) => undone,
    }
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> sqlx::Result<()> {
    sqlx::query(statement).execute(connection).await.map(drop)
}
