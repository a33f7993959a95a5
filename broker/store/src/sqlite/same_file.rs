//! Is the file at the path still the one that was opened?
//!
//! Under Unix an open file that is removed or replaced goes on working, and everything that is written to it
//! is gone with the process. Whatever gives something looks first.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// The file that was opened.
#[derive(Debug)]
pub(super) struct SameFile {
    path: PathBuf,
    opened: (u64, u64),
}

/// What is written from now on would be lost.
#[derive(Debug, thiserror::Error)]
#[error("`{}` was removed or replaced while it was open: expected the file that was opened; restart the broker", path.display())]
struct NotThere {
    path: PathBuf,
}

impl SameFile {
    /// Remembers the file at the path.
    pub(super) fn at(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: path.to_owned(), opened: identity(path)? })
    }

    /// Refuses when another file, or none, is there now.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Ok(found) if found == self.opened => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::Unavailable(Box::new(NotThere { path: self.path.clone() }))),
        }
    }
}

/// The kernel has the answer in memory: handing this to another thread would take longer than to wait for it.
fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
