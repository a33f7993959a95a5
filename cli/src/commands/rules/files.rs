//! The files of a rule set and its test cases in a folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use protocol::rules::MAX_BYTES;

use crate::error::CliError;

/// The texts of a folder by file name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// `*.cedar`
    pub(super) files: BTreeMap<String, String>,
    /// `*.toml`
    pub(super) cases: BTreeMap<String, String>,
}

impl Files {
    /// Reads a folder, without its subfolders. At least one file with rules is expected.
    pub(super) fn read(folder: &Path) -> Result<Self, CliError> {
        let shown = folder.display();
        let unreadable = |error: io::Error| CliError::usage(format!("the rules in `{shown}`: {error}"));
        let mut found = Self::default();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let (Some(name), Some(extension)) = (path.file_name(), path.extension()) else { continue };
            let kind = match extension.to_str() {
                Some("cedar") => &mut found.files,
                Some("toml") => &mut found.cases,
                Some(_) | None => continue,
            };
            let name = name.to_str().ok_or_else(|| {
                CliError::usage(format!("the file `{}`: expected a name in UTF-8", path.display()))
            })?;
            kind.insert(name.to_owned(), text(&path)?);
        }
        if found.files.is_empty() {
            return Err(CliError::usage(format!("`{shown}`: expected `*.cedar` files, found none")));
        }
        for (what, texts) in [("the rules", &found.files), ("the test cases", &found.cases)] {
            let length: usize = texts.values().map(String::len).sum();
            if length > MAX_BYTES {
                return Err(CliError::usage(format!(
                    "{what} in `{shown}`: expected at most {MAX_BYTES} bytes, found {length}"
                )));
            }
        }
        Ok(found)
    }
}

/// The error of a command that needs test cases.
pub(super) fn no_cases(folder: &Path) -> CliError {
    CliError::usage(format!("`{}`: expected `*.toml` files with test cases, found none", folder.display()))
        .with_hint("`cloudanix-jit rules check` checks rules without test cases")
}

fn text(path: &Path) -> Result<String, CliError> {
    let unreadable = |error: io::Error| CliError::usage(format!("the file `{}`: {error}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    // One byte more, so that a file that is too long is refused, not cut.
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn refusal(files: &[(&str, &[u8])]) -> String {
        Files::read(folder(files).path()).unwrap_err().to_string()
    }

    #[test]
    fn rules_and_cases_are_read_and_other_files_are_not() {
        let folder = folder(&[
            ("hours.cedar", b"permit"),
            ("hours.toml", b"[[case]]"),
            ("README.md", b"\xff"),
            ("cedar", b"\xff"),
        ]);
        fs::create_dir(folder.path().join("old")).unwrap();
        fs::write(folder.path().join("old/old.cedar"), "old").unwrap();
        let one = |name: &str, text: &str| BTreeMap::from([(name.to_owned(), text.to_owned())]);
        assert_eq!(
            Files::read(folder.path()).unwrap(),
            Files { files: one("hours.cedar", "permit"), cases: one("hours.toml", "[[case]]") }
        );
    }

    #[test]
    fn a_folder_that_cannot_be_a_rule_set_is_refused() {
        assert!(refusal(&[("hours.toml", b"")]).contains("expected `*.cedar` files, found none"));
        assert!(refusal(&[("hours.cedar", b"\xff")]).contains("hours.cedar"));
        let half = vec![b' '; MAX_BYTES / 2 + 1];
        assert!(refusal(&[("a.cedar", &half), ("b.cedar", &half)]).contains("found 1048578"));
        assert!(refusal(&[("a.cedar", b""), ("a.toml", &half), ("b.toml", &half)]).contains("test cases"));
        assert!(
            Files::read(Path::new("/no/such/folder")).unwrap_err().to_string().contains("/no/such/folder")
        );
    }
}
