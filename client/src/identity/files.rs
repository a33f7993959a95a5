//! Files that platforms write, below a root that tests replace.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest file that is read: longer is no token.
const LONGEST: u64 = 64 * 1024;

/// The root of the file system.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// The real file system.
    pub fn system() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// The file system below a folder, for tests.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The path of a well-known file, named from the root without the first slash.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// Whether a file exists. Symbolic links are followed: the kubelet keeps projected files behind two of them.
pub(super) fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// The text of a small regular file, without the white space around it.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        // A pipe or device could block for ever, and would be empty at the second reading.
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    let length = File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if length as u64 > LONGEST {
        return Err(io::Error::other(format!("longer than {LONGEST} bytes")));
    }
    Ok(text.trim().to_owned())
}

/// The program of this name in the folders of `PATH`. Relative folders are skipped: their content
/// depends on the step's working directory.
pub(super) fn program(search_path: &str, name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(search_path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&name))
        .find(|program| is_file(program))
}
