//! Who moves what was committed from the log into the database?
//!
//! SQLite lets whoever commits do it when the log is long, and everybody wait for that. Here a connection of its own
//! does it beside the commits. What is committed meanwhile keeps the log from beginning anew: that little the
//! writer moves itself, between two commits, and so the log stays as short as it would be.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinHandle;

/// So many changes of about ten pages each are what SQLite itself waits for.
const EVERY: usize = 100;

/// Moves as much as it can without keeping anybody waiting.
const MOVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// How the writer has it done.
pub(super) struct Checkpoints {
    /// Changes since it was done last.
    changes: usize,
    at_it: bool,
    ask: mpsc::Sender<()>,
    done: mpsc::Receiver<()>,
    task: JoinHandle<()>,
}

impl Checkpoints {
    /// `options` are the writer's.
    pub(super) async fn start(options: &SqliteConnectOptions) -> sqlx::Result<Self> {
        let mut connection = options.connect().await?;
        let (ask, mut asked) = mpsc::channel(1);
        let (tell, done) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            while asked.recv().await.is_some() {
                move_on(&mut connection).await;
                if tell.send(()).await.is_err() {
                    break;
                }
            }
            // A connection that cannot be closed is gone already.
            let _ = connection.close().await;
        });
        Ok(Self { changes: 0, at_it: false, ask, done, task })
    }

    /// The writer has committed so many changes, and answered everybody.
    pub(super) async fn committed(&mut self, changes: usize, writer: &mut SqliteConnection) {
        self.changes += changes;
        if !self.at_it && self.changes >= EVERY {
            // There is room for one, and none waits there. If nobody is left to take it, that shows below.
            let _ = self.ask.try_send(());
            self.at_it = true;
        }
        if self.at_it && !matches!(self.done.try_recv(), Err(TryRecvError::Empty)) {
            move_on(writer).await;
            (self.changes, self.at_it) = (0, false);
        }
    }

    /// Nothing is committed any more. The connection is closed when this returns.
    pub(super) async fn stop(self) {
        let Self { ask, done, task, .. } = self;
        drop((ask, done));
        // It ends by itself, unless it has panicked, and then it has ended.
        let _ = task.await;
    }
}

/// If it cannot be done now, the log is longer until the next time.
async fn move_on(connection: &mut SqliteConnection) {
    if let Err(error) = sqlx::query(MOVE).execute(connection).await {
        tracing::warn!(%error, "the database's log cannot be moved into the database");
    }
}
