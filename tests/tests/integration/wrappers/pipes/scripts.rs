//! All shell scripts of these wrappers pass independent linters.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system_tests::wrappers::{python_program, root};

use super::{readme, yaml};

/// Every script that is a file.
fn scripts() -> Vec<PathBuf> {
    let folders = [
        "circleci-orb/src/scripts",
        "bitbucket-pipe",
        "bitbucket-pipe/pipe",
        "examples/aws-codebuild",
        "examples/shell",
    ];
    folders.iter().flat_map(|folder| yaml::files(&root().join(folder), "sh")).collect()
}

/// Asserts that the linters accept a script, except for sourced files that exist only in a job.
#[track_caller]
fn assert_clean(script: &Path, what: &str) {
    let shown = script.display();
    for (program, arguments) in [
        ("shellcheck", &["--shell=sh", "--exclude=SC1091"][..]),
        ("shfmt", &["-ln=posix", "-i=2", "-ci", "-d"]),
    ] {
        let output = Command::new(python_program(program)).args(arguments).arg(script).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{what} {shown}: {program}\n{said}");
    }
}

#[test]
fn every_script_is_clean() {
    let scripts = scripts();
    assert!(scripts.len() > 10);
    for script in scripts {
        assert_clean(&script, "");
    }
}

/// Collects the shell scripts from a YAML value.
fn blocks(value: &Value, under: &str, found: &mut Vec<String>) {
    match value {
        // Where the platform runs a list of commands in one shell, the list is one script.
        Value::Array(lines) if ["script", "after-script", "commands"].contains(&under) => {
            let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
            found.push(lines.join("\n"));
        }
        // A program with its arguments, which no shell parses.
        Value::Array(_) if under == "command" => {}
        Value::Array(values) => values.iter().for_each(|value| blocks(value, under, found)),
        Value::Object(values) => values.iter().for_each(|(name, value)| blocks(value, name, found)),
        Value::String(text) if ["script", "command", "run", "COMMAND"].contains(&under) => {
            found.push(text.clone())
        }
        Value::String(text) if under == "args" && text.contains('\n') => found.push(text.clone()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn every_script_inside_yaml_is_clean() {
    let mut found = Vec::new();
    for file in [
        "bitbucket-pipe/bitbucket-pipelines.yml",
        "examples/argo/cd-hook.yaml",
        "examples/argo/workflow-template.yaml",
        "examples/aws-codebuild/buildspec.yml",
        "examples/azure-devops/azure-pipelines.yml",
        "examples/buildkite/pipeline.yml",
        "examples/kubernetes/job.yaml",
        "examples/kubernetes/worker.yaml",
    ] {
        yaml::documents(&root().join(file)).iter().for_each(|value| blocks(value, "", &mut found));
    }
    for example in yaml::files(&root().join("circleci-orb/src/examples"), "yml") {
        blocks(&yaml::document(&example)["usage"], "", &mut found);
    }
    for page in ["bitbucket-pipe/README.md", "circleci-orb/README.md"] {
        for block in readme::blocks(&root().join(page), "yaml") {
            blocks(&readme::value(&block), "", &mut found);
        }
    }
    found.retain(|script| !script.is_empty() && !script.starts_with('<'));
    assert!(found.len() > 15, "{}", found.len());
    for script in found {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, script.trim_end().to_owned() + "\n").unwrap();
        assert_clean(file.path(), &script);
    }
}

#[test]
fn the_fetching_script_is_the_one_of_all_wrappers() {
    let original = fs::read(root().join("wrappers/fetch.sh")).unwrap();
    let copies: Vec<PathBuf> = scripts().into_iter().filter(|path| path.ends_with("fetch.sh")).collect();
    assert_eq!(copies.len(), 2);
    for copy in copies {
        assert!(fs::read(&copy).unwrap() == original, "{} differs from wrappers/fetch.sh", copy.display());
    }
}

#[test]
fn the_image_of_the_pipe_is_well_described() {
    let dockerfile = root().join("bitbucket-pipe/Dockerfile");
    let output = Command::new(python_program("hadolint")).arg(&dockerfile).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = fs::read_to_string(dockerfile).unwrap();
    let mut bases = text.lines().filter_map(|line| line.strip_prefix("FROM "));
    assert!(bases.all(|base| base.contains("@sha256:")), "a base that is not pinned");
    for line in text.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let files = line.split(' ').filter(|word| !word.starts_with("--"));
        let files: Vec<&str> = files.collect();
        for file in &files[..files.len() - 1] {
            assert!(root().join("bitbucket-pipe").join(file).is_file(), "`{file}` is copied, and not there");
        }
    }
}
