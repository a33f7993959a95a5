//! Moves committed pages from the write-ahead log into the database.
//!
//! By default the connection that commits does so when the log is long, and every caller waits. Here a connection of
//! its own does it beside the commits. Pages that are committed meanwhile would keep the log from starting over, so
//! the writer moves those few itself, between two commits.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinHandle;

/// A change has about ten pages; SQLite's default is 1000 pages.
const EVERY: usize = 100;

/// Moves as many pages as it can without blocking a reader or writer.
const MOVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The writer's handle to the checkpoint task.
pub(super) struct Checkpoints {
    /// Since the last checkpoint.
    changes: usize,
    at_it: bool,
    ask: mpsc::Sender<()>,
    done: mpsc::Receiver<()>,
    task: JoinHandle<()>,
}

impl Checkpoints {
    pub(super) async fn start(options: &SqliteConnectOptions) -> sqlx::Result<Self> {
        let mut connection = options.connect().await?;
        let (ask, mut asked) = mpsc::channel(1);
        let (append, done) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            while asked.recv().await.is_some() {
                move_on(&mut connection).await;
                if append.send(()).await.is_err() {
                    break;
                }
            }
            // An error means that the connection is closed already.
            let _ = connection.close().await;
        });
        Ok(Self { changes: 0, at_it: false, ask, done, task })
    }

    /// Called after so many changes were committed and answered.
    pub(super) async fn committed(&mut self, changes: usize, writer: &mut SqliteConnection) {
        self.changes += changes;
        if !self.at_it && self.changes >= EVERY {
            // The channel is empty, so this fails only if the task has ended, which shows below.
            let _ = self.ask.try_send(());
            self.at_it = true;
        }
        if self.at_it && !matches!(self.done.try_recv(), Err(TryRecvError::Empty)) {
            move_on(writer).await;
            (self.changes, self.at_it) = (0, false);
        }
    }

    /// Ends the task after the last commit, and closes its connection.
    pub(super) async fn stop(self) {
        let Self { ask, done, task, .. } = self;
        drop((ask, done));
        // An error means that the task panicked, and has ended.
        let _ = task.await;
    }
}

/// A failed checkpoint leaves the log longer until the next one.
async fn move_on(connection: &mut SqliteConnection) {
    if let Err(error) = sqlx::query(MOVE).execute(connection).await {
        tracing::warn!(%error, "the database's log cannot be transition into the database");
    }
}
