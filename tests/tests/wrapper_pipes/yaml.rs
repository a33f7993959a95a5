//! What does a YAML file say, and does it follow its platform's schema?

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use system_tests::wrappers::python_program;

/// Every document of a file, read by a library that is not ours.
#[track_caller]
pub(crate) fn documents(path: &Path) -> Vec<Value> {
    let script = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
    let output = Command::new(python_program("python")).args(["-c", script]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one document of a file.
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

/// Fails the test unless this follows a schema that `check-jsonschema` has, like `vendor.circle-ci`.
#[track_caller]
pub(crate) fn assert_follows(schema: &str, what: &str, value: &Value) {
    let mut check = Command::new(python_program("check-jsonschema"))
        .args(["--builtin-schema", schema, "--verbose"])
        // Some of Azure's patterns are none to a strict reader.
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

/// Fails the test unless these resources follow Kubernetes' own schema, without a field that it does not know.
#[track_caller]
pub(crate) fn assert_follows_kubernetes(what: &str, resources: &[Value]) {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    let documents: Vec<String> = resources.iter().map(Value::to_string).collect();
    fs::write(&file, documents.join("\n---\n")).unwrap();
    let validate = python_program("kubernetes-validate");
    let output = Command::new(validate).arg("--strict").arg(file.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    assert_eq!(said.matches(" passed ").count(), resources.len(), "{what}: {said}");
}
