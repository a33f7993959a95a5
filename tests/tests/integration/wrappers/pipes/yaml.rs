//! Reads YAML files and checks them against their platforms' schemas.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use system_tests::wrappers::python_program;
pub(crate) use system_tests::yaml_files::{assert_follows_kubernetes, documents};

/// The only document of a file.
#[track_caller]
pub(crate) fn document(path: &Path) -> Value {
    let mut documents = documents(path);
    assert_eq!(documents.len(), 1, "{}", path.display());
    documents.remove(0)
}

/// The files of a folder with this ending, by name.
#[track_caller]
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == ending));
    files.sort();
    files
}

/// Asserts that a document follows a schema of `check-jsonschema`, such as `vendor.circle-ci`.
#[track_caller]
pub(crate) fn assert_follows(schema: &str, what: &str, value: &Value) {
    let mut check = Command::new(python_program("check-jsonschema"))
        .args(["--builtin-schema", schema, "--verbose"])
        // Some of Azure's patterns are invalid in strict Unicode mode.
        .args(["--regex-variant", "nonunicode", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(value.to_string().as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{what} does not follow {schema}:\n{said}");
}
