//! Independent linters accept our definitions, examples and workflows, and the definitions agree with each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::wrappers::{python_program, root};

use super::step::action;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    found.sort();
    assert!(!found.is_empty(), "{}", folder.display());
    found
}

fn definitions() -> Vec<PathBuf> {
    ["action.yml", "run/action.yml", "revoke/action.yml"].map(|name| action().join(name)).to_vec()
}

fn workflows() -> Vec<PathBuf> {
    [action().join("examples"), action().join(".github/workflows"), root().join(".github/workflows")]
        .iter()
        .flat_map(|folder| files(folder))
        .collect()
}

#[track_caller]
fn assert_silent(command: &mut Command) {
    let output = command.output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
fn they_have_the_form_that_github_wants() {
    for (schema, files) in
        [("vendor.github-actions", definitions()), ("vendor.github-workflows", workflows())]
    {
        assert_silent(
            Command::new(python_program("check-jsonschema")).args(["--builtin-schema", schema]).args(files),
        );
    }
}

#[test]
fn zizmor_finds_nothing() {
    let files = definitions().into_iter().chain(workflows());
    assert_silent(
        Command::new(python_program("zizmor"))
            .args(["--offline", "--no-progress", "--persona", "regular"])
            .args(files),
    );
}

/// The lines of a definition that describe its inputs, without the descriptions that are specific to `run`.
fn inputs(definition: &str) -> Vec<String> {
    let text = fs::read_to_string(action().join(definition)).unwrap();
    let lines = text.lines().skip_while(|line| *line != "inputs:").take_while(|line| *line != "outputs:");
    let mut inputs: Vec<String> = lines.map(str::to_owned).collect();
    let run = inputs.iter().position(|line| line == "  run:").unwrap();
    inputs.drain(run + 1..run + 3);
    inputs
}

#[test]
fn the_action_for_one_command_takes_what_the_other_takes() {
    assert_eq!(inputs("action.yml"), inputs("run/action.yml"));
}

#[test]
fn every_input_of_the_table_is_taken_and_no_other() {
    let table = fs::read_to_string(root().join("wrappers/inputs.toml")).unwrap();
    let mut expected: Vec<String> = table
        .split("[[input]]")
        .skip(1)
        .filter(|entry| !entry.contains("on.github = { none"))
        .filter(|entry| !entry.contains("\nonly = ") || entry.contains("\nonly = \"github\""))
        .map(|entry| entry.split('"').nth(1).unwrap().to_owned())
        .collect();
    let names = inputs("action.yml");
    let mut found: Vec<String> = names
        .iter()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| !name.starts_with(' '))
        .map(str::to_owned)
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let readme = fs::read_to_string(action().join("README.md")).unwrap();
    let rows: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    for name in &expected {
        let told = |row: &&&str| row.split('|').next().unwrap_or_default().contains(&format!("{name}`"));
        assert!(rows.iter().any(|row| told(&row)), "`{name}` in README.md");
    }
}
