//! How do many small changes share one trip to the disk?
//!
//! One task owns the only connection that writes. It takes the jobs that are waiting, runs them in one
//! transaction, each under a savepoint of its own if there are several, commits, and only then answers. A job
//! that fails undoes itself and nothing else; if the commit fails, every job of the batch has failed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::change::{Change, Frame, Stage};
use super::open::OnDisk;
use crate::StoreError;

/// More would not make a commit cheaper for each, and would let the first wait for the last.
const BATCH: usize = 64;
/// Whoever comes when so many are waiting waits to be let in.
const QUEUE: usize = 1024;

/// Where jobs are handed in.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

/// The change was not committed, with others of its batch or alone.
#[derive(Debug, thiserror::Error)]
#[error("the transaction was not committed")]
struct NotCommitted(#[source] Arc<sqlx::Error>);

/// The change was not tried, or was broken off.
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
    /// Starts the task; it ends when the last `Writer` is dropped. On disk it opens another connection when it has
    /// lost its own. What was handed in may outlive every `Writer`, and the lock outlives that.
    pub(super) fn start(connection: SqliteConnection, mut on_disk: Option<OnDisk>) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            work_off(connection, on_disk.as_mut(), waiting).await;
            if let Some(OnDisk { checkpoints, locked, .. }) = on_disk {
                checkpoints.stop().await;
                drop(locked);
            }
        });
        Self { jobs }
    }

    /// Runs `work` in a transaction and answers when that is on disk. Once it is handed in it is done, whether
    /// or not the caller waits for the answer.
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
    /// Makes the change and closes it, or undoes it. An error means that the whole transaction is lost.
    fn run<'c>(
        &'c mut self,
        connection: &'c mut SqliteConnection,
        frame: Frame,
    ) -> BoxFuture<'c, sqlx::Result<()>>;
    /// Called once, when it is known what became of the batch.
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
        frame: Frame,
    ) -> BoxFuture<'c, sqlx::Result<()>> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return Ok(()) };
            let mut stage = Stage::Ahead;
            let change = Change::new(&mut *connection, frame, &mut stage);
            // Without this a panic would take the writer, and with it every later change, down with it.
            let outcome = AssertUnwindSafe(async move { work(change).await }).catch_unwind().await;
            let outcome = self.outcome.insert(outcome.unwrap_or_else(|_| Err(NotDone::Panicked.into())));
            match (stage, outcome) {
                (Stage::Ahead | Stage::Closed, _) => Ok(()),
                (Stage::Open, Ok(_)) => execute(connection, frame.closing()).await,
                (Stage::Open, Err(_)) => undo(connection, frame).await,
            }
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.outcome, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(NotDone::Stopped.into()),
        };
        // Nobody there to hear it: the caller gave up waiting.
        let _ = self.caller.send(answer);
    }
}

async fn work_off(
    mut connection: SqliteConnection,
    mut on_disk: Option<&mut OnDisk>,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let done = match batch.as_mut_slice() {
            [job] => job.run(&mut connection, Frame::Transaction).await,
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
            // Fails if SQLite has rolled back by itself, and then there is nothing left to do.
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
        job.run(connection, Frame::Savepoint).await?;
    }
    execute(connection, "COMMIT").await
}

async fn undo(connection: &mut SqliteConnection, frame: Frame) -> sqlx::Result<()> {
    match (execute(connection, frame.undoing()).await, frame) {
        // There is nothing to roll back if it did not begin, or if SQLite has rolled back by itself.
        (Err(sqlx::Error::Database(_)), Frame::Transaction) => Ok(()),
        // In a batch the savepoint is gone then, and with it what the jobs before had done.
        (undone, Frame::Transaction | Frame::Savepoint) => undone,
    }
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> sqlx::Result<()> {
    sqlx::query(statement).execute(connection).await.map(drop)
}
