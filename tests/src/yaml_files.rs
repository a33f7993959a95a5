//! Parses YAML files with an independent library, and validates Kubernetes resources against their schema.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::wrappers::python_program;

/// Every document of a file, parsed by an independent library.
#[track_caller]
pub fn documents(path: &Path) -> Vec<Value> {
    let script = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
    let output = Command::new(python_program("python")).args(["-c", script]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Fails the test unless these resources match Kubernetes' own schema, without unknown fields.
#[track_caller]
pub fn assert_follows_kubernetes(what: &str, resources: &[Value]) {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    let documents: Vec<String> = resources.iter().map(Value::to_string).collect();
    fs::write(&file, documents.join("\n---\n")).unwrap();
    let validate = python_program("kubernetes-validate");
    let output = Command::new(validate).arg("--strict").arg(file.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    assert_eq!(said.matches(" passed ").count(), resources.len(), "{what}: {said}");
}
