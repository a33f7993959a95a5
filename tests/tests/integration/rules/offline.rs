//! The broker's commands for rules, which need no running broker.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use system_tests::folder::Folder;
use system_tests::programs;

use super::PERMIT;

fn sample() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/rules")
}

fn rules(arguments: &[&Path], path: &str) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        Command::new(programs::broker()).arg("rules").args(arguments).env("PATH", path).output().unwrap();
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (status.code(), text)
}

#[test]
fn the_sample_is_checked_and_its_cases_pass() {
    let (code, text) = rules(&["check".as_ref(), &sample()], "");
    assert!(code == Some(0) && text.contains("rules, digest "), "{code:?} {text}");
    let (code, text) = rules(&["test".as_ref(), &sample()], "");
    assert!(code == Some(0) && text.contains("test cases pass"), "{code:?} {text}");
}

#[test]
fn a_failing_case_and_a_broken_rule_are_errors_that_say_where() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("all.cedar"), PERMIT).unwrap();
    std::fs::write(folder.path().join("all.toml"), "[[case]]\nname = \"none\"\nexpect = \"deny\"\n").unwrap();
    let (code, text) = rules(&["test".as_ref(), folder.path()], "");
    assert!(code == Some(1) && text.contains("FAIL  all.toml · none"), "{code:?} {text}");
    std::fs::write(folder.path().join("all.cedar"), "@id(\"a\") permit (principal, action);").unwrap();
    let (code, text) = rules(&["check".as_ref(), folder.path()], "");
    assert!(code == Some(1) && text.contains("all.cedar"), "{code:?} {text}");
}

#[test]
fn a_comparison_without_a_solver_says_so_and_ends_with_2() {
    let (code, text) = rules(&["diff".as_ref(), &sample(), &sample()], "");
    assert!(code == Some(2) && text.contains("cvc5"), "{code:?} {text}");
}
