//! Sends a change to SQLite in as few texts as possible.
//!
//! sqlx runs SQLite on a thread of its own, and a round trip to it costs more than the statements of a change. So
//! BEGIN is prepended to the first text of a change, and COMMIT is appended to its last.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

/// For a statement that must run only if the statement before it changed a row.
pub(super) const IF_PREVIOUS_CHANGED_ROWS: &str = " AND changes() > 0";

/// How a change is isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TxScope {
    /// A transaction of its own.
    Transaction,
    /// A savepoint in a transaction that several changes share.
    Savepoint,
}

impl TxScope {
    const fn opening(self) -> &'static str {
        match self {
            Self::Transaction => "BEGIN IMMEDIATE; ",
            Self::Savepoint => "SAVEPOINT job; ",
        }
    }

    pub(super) const fn closing(self) -> &'static str {
        match self {
            Self::Transaction => "COMMIT",
            Self::Savepoint => "RELEASE job",
        }
    }

    pub(super) const fn rolling_back(self) -> &'static str {
        match self {
            Self::Transaction => "ROLLBACK",
            Self::Savepoint => "ROLLBACK TO job; RELEASE job",
        }
    }
}

/// The state of a change's scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TxState {
    NotBegun,
    /// Must be closed or rolled back.
    Open,
    Closed,
}

/// A change in progress.
pub(super) struct Change<'c> {
    connection: &'c mut SqliteConnection,
    frame: TxScope,
    stage: &'c mut TxState,
}

impl<'c> Change<'c> {
    pub(super) fn new(connection: &'c mut SqliteConnection, frame: TxScope, stage: &'c mut TxState) -> Self {
        Self { connection, frame, stage }
    }

    /// Opens the scope and returns the connection, for a change of several round trips. The writer closes the scope.
    pub(super) async fn begin(self) -> sqlx::Result<&'c mut SqliteConnection> {
        *self.stage = TxState::Open;
        sqlx::query(self.frame.opening()).execute(&mut *self.connection).await?;
        Ok(self.connection)
    }

    /// Starts the next text of this change.
    pub(super) fn statement(&self) -> QueryBuilder<Sqlite> {
        QueryBuilder::new(match *self.stage {
            TxState::Open => "",
            // Closed: the text before changed nothing, or the change would not go on.
            TxState::NotBegun | TxState::Closed => self.frame.opening(),
        })
    }

    pub(super) async fn run(&mut self, mut text: QueryBuilder<Sqlite>) -> sqlx::Result<Vec<SqliteRow>> {
        *self.stage = TxState::Open;
        text.build().fetch_all(&mut *self.connection).await
    }

    /// Runs the last text, which ends with `; ` or is empty, and closes the scope. Nothing that can fail may follow.
    pub(super) async fn run_and_commit(
        &mut self,
        mut text: QueryBuilder<Sqlite>,
    ) -> sqlx::Result<Vec<SqliteRow>> {
        text.push(self.frame.closing());
        let rows = self.run(text).await?;
        *self.stage = TxState::Closed;
        Ok(rows)
    }
}
