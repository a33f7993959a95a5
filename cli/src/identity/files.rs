//! Where do platforms leave files? Below the root, which tests put elsewhere.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest file that is read: longer is no token.
const LONGEST: u64 = 64 * 1024;

/// The file system as platforms know it.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    /// The real one.
    pub(crate) fn system() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// One below a folder.
    #[cfg(test)]
    pub(crate) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The place of a well-known file, given from the root without the first slash.
    pub(super) fn place(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// A file that exists; symbolic links are followed, as the kubelet keeps projected files behind two of them.
pub(super) fn is_there(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// The text of a small regular file, without the white space around it.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        // A pipe or device could keep us waiting for ever, and would be empty at the second reading.
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    let length = File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if length as u64 > LONGEST {
        return Err(io::Error::other(format!("longer than {LONGEST} bytes")));
    }
    Ok(text.trim().to_owned())
}

/// The program of this name in the folders of `PATH`. Relative folders are passed over: what they hold
/// depends on where the step happens to be.
pub(super) fn program(search_path: &str, name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(search_path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&name))
        .find(|program| is_there(program))
}
