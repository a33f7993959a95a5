//! Where is the database, and is it one that this program can work with?

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
pub enum Place {
    /// In this file, made (readable by its owner only) if it is not there; its folder has to be.
    File(PathBuf),
    /// In memory, gone with the last handle.
    Memory,
}

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or opened.
    #[error("the database `{}` cannot be opened", path.display())]
    File {
        /// Where it was expected.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process, or another store in this one, works with it.
    #[error("the database `{}` is in use by another broker", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// A newer program has changed the tables, or something else has.
    #[error("the database has tables of version {found}: expected {expected} or less")]
    Newer {
        /// Of the tables.
        found: i64,
        /// What this program makes of them.
        expected: i64,
    },
    /// SQLite refuses: no database, damaged, locked, full.
    #[error("the database cannot be made ready")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl OpenError {
    /// What to do about it.
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

/// Forward only: what is released here is never edited, a change is another file.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../../migrations/sqlite/0001_first.sql")),
];

/// How long to wait for a lock that another process holds.
const BUSY: Duration = Duration::from_secs(5);
/// More readers than cores gain nothing: everything they read is in memory.
const READERS: u32 = 4;

/// What an opened database is used through.
pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    /// None if it is in memory.
    pub(super) on_disk: Option<OnDisk>,
    /// None if only `writer` sees the data.
    pub(super) readers: Option<SqlitePool>,
    /// None if there is no file.
    pub(super) file: Option<SameFile>,
}

/// What the writer needs of a database that is a file.
pub(super) struct OnDisk {
    /// For a connection in the place of the writer's.
    pub(super) reopen: SqliteConnectOptions,
    /// Beside the writer.
    pub(super) checkpoints: Checkpoints,
    /// Nobody else writes as long as this is kept.
    pub(super) locked: Locked,
}

pub(super) async fn open(place: Place) -> Result<Opened, OpenError> {
    let options =
        SqliteConnectOptions::new().foreign_keys(true).busy_timeout(BUSY).disable_statement_logging();
    match place {
        Place::Memory => {
            let mut writer = options.in_memory(true).connect().await?;
            migrate(&mut writer).await?;
            Ok(Opened { writer, on_disk: None, readers: None, file: None })
        }
        Place::File(path) => {
            make_private(&path).await?;
            let locked = lock(&path).await?;
            let file =
                SameFile::at(&path).map_err(|source| OpenError::File { path: path.clone(), source })?;
            let options = options.filename(&path);
            let reopen = options
                .clone()
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                // A burst leaves a long log behind; it is cut back to this.
                .pragma("journal_size_limit", "67108864")
                // Nobody who commits waits for it: see `checkpoint`.
                .pragma("wal_autocheckpoint", "0")
                // What a savepoint may have to restore is not worth a file.
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
