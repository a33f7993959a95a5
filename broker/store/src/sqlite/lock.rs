//! Is this the only broker that works with the file?
//!
//! SQLite would let several write in turn, but a broker answers from memory who may come in: another one's changes
//! would not be seen. The lock is on a file beside the database, because closing any handle of the database itself
//! takes SQLite's own locks away.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::open::OpenError;

/// The operating system lets go of it when the process ends, however that happens.
#[derive(Debug)]
pub(super) struct Locked {
    _file: File,
}

/// Whoever is told to stop and started again at once meets itself for a moment.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Locks the database at the path, which is there.
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

/// Never removed again: who locks a file that is gone locks nobody out.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(beside(path)?)
}

/// Beside the file itself, whichever link leads to it.
fn beside(path: &Path) -> std::io::Result<PathBuf> {
    let mut name = std::fs::canonicalize(path)?.into_os_string();
    name.push(".lock");
    Ok(name.into())
}
