//! Locks the database file against a second broker.
//!
//! SQLite lets several processes write in turn, but a broker caches credentials and would not see the changes of
//! another one. The lock is on a file beside the database, because closing any handle of the database file releases
//! SQLite's own locks.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::open::OpenError;

/// The operating system releases the lock when the process ends.
#[derive(Debug)]
pub(super) struct Locked {
    _file: File,
}

/// A broker that is restarted may meet its predecessor for a moment.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Locks an existing database.
pub(super) async fn lock(path: &Path) -> Result<Locked, OpenError> {
    let refuse = |source| OpenError::File { path: path.to_owned(), source };
    let file = open(path).map_err(refuse)?;
    for _ in 1..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(Locked { _file: file }),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
            Err(TryLockError::Error(source)) => return Err(refuse(source)),
        }
    }
    match file.try_lock() {
        Ok(()) => Ok(Locked { _file: file }),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(refuse(source)),
    }
}

/// The lock file is never removed: a lock on a removed file locks out no other process.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(beside(path)?)
}

/// Beside the file itself, also if the path is a link.
fn beside(path: &Path) -> std::io::Result<PathBuf> {
    let mut name = std::fs::canonicalize(path)?.into_os_string();
    name.push(".lock");
    Ok(name.into())
}
