//! Detects that the database file was removed or replaced while it is open.
//!
//! On Unix an open file that was removed can still be written, and is lost with the process. Changes that grant access
//! check this first.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// The file that was opened.
#[derive(Debug)]
pub(super) struct SameFile {
    path: PathBuf,
    opened: (u64, u64),
}

/// Later writes would be lost.
#[derive(Debug, thiserror::Error)]
#[error("`{}` was removed or replaced while it was open: expected the file that was opened; restart the broker", path.display())]
struct NotThere {
    path: PathBuf,
}

impl SameFile {
    pub(super) fn at(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: path.to_owned(), opened: identity(path)? })
    }

    /// Fails if another file, or none, is at the path.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Ok(found) if found == self.opened => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::Unavailable(Box::new(NotThere { path: self.path.clone() }))),
        }
    }
}

/// The kernel answers from memory: another thread would take longer.
fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
