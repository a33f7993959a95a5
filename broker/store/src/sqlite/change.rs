//! How does a change reach SQLite in as few texts as possible?
//!
//! Handing a text to the connection's thread and waking up for what came of it costs more than what its
//! statements do. So what begins a change stands in front of its first text, and what ends it behind its last.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

/// For a statement that goes on only if the one before it in the text has changed a row.
pub(super) const IF_THE_LAST_DID: &str = " AND changes() > 0";

/// What keeps a change apart from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// A transaction to itself.
    Transaction,
    /// A savepoint in a transaction that it shares.
    Savepoint,
}

impl Frame {
    const fn opening(self) -> &'static str {
        match self {
            Self::Transaction => "BEGIN IMMEDIATE; ",
            Self::Savepoint => "SAVEPOINT job; ",
        }
    }

    /// Keeps what was done.
    pub(super) const fn closing(self) -> &'static str {
        match self {
            Self::Transaction => "COMMIT",
            Self::Savepoint => "RELEASE job",
        }
    }

    /// Undoes what was done.
    pub(super) const fn undoing(self) -> &'static str {
        match self {
            Self::Transaction => "ROLLBACK",
            Self::Savepoint => "ROLLBACK TO job; RELEASE job",
        }
    }
}

/// How far a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was sent yet.
    Ahead,
    /// Somebody has to keep it or undo it.
    Open,
    /// It is kept.
    Closed,
}

/// A change that is being made.
pub(super) struct Change<'c> {
    connection: &'c mut SqliteConnection,
    frame: Frame,
    stage: &'c mut Stage,
}

impl<'c> Change<'c> {
    pub(super) fn new(connection: &'c mut SqliteConnection, frame: Frame, stage: &'c mut Stage) -> Self {
        Self { connection, frame, stage }
    }

    /// For a change to which texts do not matter: the connection, with everything begun. It is closed by
    /// whoever asked for the change.
    pub(super) async fn begin(self) -> sqlx::Result<&'c mut SqliteConnection> {
        *self.stage = Stage::Open;
        sqlx::query(self.frame.opening()).execute(&mut *self.connection).await?;
        Ok(self.connection)
    }

    /// The beginning of this change's next text.
    pub(super) fn text(&self) -> QueryBuilder<Sqlite> {
        QueryBuilder::new(match *self.stage {
            Stage::Open => "",
            // Closed: what it did was nothing, or it would not go on.
            Stage::Ahead | Stage::Closed => self.frame.opening(),
        })
    }

    /// Runs a text, and gives its rows.
    pub(super) async fn run(&mut self, mut text: QueryBuilder<Sqlite>) -> sqlx::Result<Vec<SqliteRow>> {
        *self.stage = Stage::Open;
        text.build().fetch_all(&mut *self.connection).await
    }

    /// Runs the last text: the change is kept when this returns, so nothing that can fail may come after it.
    /// The text ends with `; ` or is empty.
    pub(super) async fn run_last(&mut self, mut text: QueryBuilder<Sqlite>) -> sqlx::Result<Vec<SqliteRow>> {
        text.push(self.frame.closing());
        let rows = self.run(text).await?;
        *self.stage = Stage::Closed;
        Ok(rows)
    }
}
