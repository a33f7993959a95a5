//! Opens the database file, migrates it, and starts its connections.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};

use super::checkpoint::Checkpoints;
use super::lock::{Locked, lock};
use super::same_file::SameFile;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlitePath {
    /// A file, created if it is missing and readable by its owner only. Its folder must exist.
    File(PathBuf),
    /// In memory, until the last handle is dropped.
    Memory,
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be created or opened.
    #[error("the database `{}` cannot be opened", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// Another process, or another store of this process, has the file open.
    #[error("the database `{}` is in use by another broker", path.display())]
    InUse { path: PathBuf },
    /// The schema is newer than this broker.
    #[error("the database has tables of version {found}: expected {expected} or less")]
    Newer { found: i64, expected: i64 },
    /// The file is not a database, or is damaged, locked or full.
    #[error("the database cannot be made ready")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl OpenError {
    /// What the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => "the folder has to exist, and the broker has to be allowed to write in it",
            Self::InUse { .. } => "stop it first: one database file belongs to one broker",
            Self::Newer { .. } => {
                "start the newer broker again, or restore the database from before the upgrade"
            }
            Self::Database(_) => "see whether the file is a SQLite database, is in use, or the disk is full",
        }
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

/// Forward only: a released file is never edited, a change is another file.
const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "first", include_str!("../../migrations/sqlite/0001_first.sql"))];

/// How long to wait for a lock of another process.
const BUSY: Duration = Duration::from_secs(5);
/// More readers than cores gain nothing: their pages are in memory.
const READERS: u32 = 4;

/// An opened database.
pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    /// None in memory.
    pub(super) on_disk: Option<OnDisk>,
    /// None in memory, where only `writer` sees the data.
    pub(super) readers: Option<SqlitePool>,
    /// None in memory.
    pub(super) file: Option<SameFile>,
}

/// What the writer needs of a database file.
pub(super) struct OnDisk {
    /// Options for a new connection of the writer.
    pub(super) reopen: SqliteConnectOptions,
    pub(super) checkpoints: Checkpoints,
    /// Kept as long as the writer may write.
    pub(super) locked: Locked,
}

pub(super) async fn open(place: SqlitePath) -> Result<Opened, OpenError> {
    let options =
        SqliteConnectOptions::new().foreign_keys(true).busy_timeout(BUSY).disable_statement_logging();
    match place {
        SqlitePath::Memory => {
            let mut writer = options.in_memory(true).connect().await?;
            migrate(&mut writer).await?;
            Ok(Opened { writer, on_disk: None, readers: None, file: None })
        }
        SqlitePath::File(path) => {
            make_private(&path).await?;
            let locked = lock(&path).await?;
            let file =
                SameFile::at(&path).map_err(|source| OpenError::File { path: path.clone(), source })?;
            let options = options.filename(&path);
            let reopen = options
                .clone()
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                // A burst leaves a long log behind, which is cut back to this.
                .pragma("journal_size_limit", "67108864")
                // No commit waits for a checkpoint: see `checkpoint`.
                .pragma("wal_autocheckpoint", "0")
                // Savepoints need no file.
                .pragma("temp_store", "MEMORY");
            let mut writer = reopen.connect().await?;
            migrate(&mut writer).await?;
            let checkpoints = Checkpoints::start(&reopen).await?;
            let readers = SqlitePoolOptions::new()
                .max_connections(READERS)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(BUSY)
                .connect_with(options.read_only(true))
                .await?;
            Ok(Opened {
                writer,
                on_disk: Some(OnDisk { reopen, checkpoints, locked }),
                readers: Some(readers),
                file: Some(file),
            })
        }
    }
}

/// SQLite gives its two side files the permissions of this one.
async fn make_private(path: &Path) -> Result<(), OpenError> {
    let owned = path.to_owned();
    let made = tokio::task::spawn_blocking(move || {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(owned).map(drop)
    })
    .await
    .unwrap_or_else(|stopped| Err(std::io::Error::other(stopped)));
    made.map_err(|source| OpenError::File { path: path.to_owned(), source })
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, name, sql)| {
            let sql = sqlx::SqlSafeStr::into_sql_str(*sql);
            Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql, false)
        })
        .collect();
    let done = Migrator::with_migrations(migrations).run(connection).await;
    done.map_err(|error| {
        if let MigrateError::VersionMissing(found) = error {
            OpenError::Newer { found, expected: MIGRATIONS.last().map_or(0, |(version, ..)| *version) }
        } else {
            OpenError::Database(Box::new(error))
        }
    })
}
