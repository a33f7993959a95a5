//! Are all shell scripts of these wrappers well written, in the eyes of linters that are not ours?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::wrappers::{python_program, root};

use crate::yaml;

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

#[track_caller]
fn assert_clean(script: &Path, what: &str) {
    let shown = script.display();
    for (program, arguments) in
        [("shellcheck", &["--shell=sh"][..]), ("shfmt", &["-ln=posix", "-i=2", "-ci", "-d"])]
    {
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
