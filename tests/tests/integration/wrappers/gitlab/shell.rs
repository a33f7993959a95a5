//! The shell code in both files is equal, contains the common fetch script and passes the linters.

use std::fs;
use std::process::{Command, Output};

use system_tests::wrappers::{python_program, root};

use super::definition::{CLASSIC, COMPONENT, text};
use super::project::yaml;

const SELF_TEST: &str = "gitlab/self-test/client";

/// The shell code of every job, in order.
fn scripts() -> Vec<(String, Vec<String>)> {
    let mut scripts = Vec::new();
    for file in [COMPONENT, CLASSIC] {
        let jobs = yaml(&text(file)).pop().unwrap();
        for (name, job) in jobs.as_object().unwrap() {
            let items = |part: &str| -> Vec<String> {
                let items = job[part].as_array().into_iter().flatten();
                items.map(|item| item.as_str().unwrap().to_owned()).collect()
            };
            scripts.push((format!("{name}, script"), [items("before_script"), items("script")].concat()));
            scripts.push((format!("{name}, after_script"), items("after_script")));
        }
    }
    scripts.retain(|(_, items)| !items.is_empty());
    assert_eq!(scripts.len(), 4);
    scripts
}

/// The copy of wrappers/fetch.sh in an item; `None` if it has none.
fn copy_in(item: &str) -> Option<&str> {
    item.split_once("cloudanix_find() (\n")?.1.strip_suffix(")\n")
}

#[test]
fn every_shell_finds_the_client_by_the_one_script() {
    let fetch = text("wrappers/fetch.sh");
    for (name, items) in scripts() {
        let copies: Vec<&str> = items.iter().filter_map(|item| copy_in(item)).collect();
        assert_eq!(copies, [fetch.as_str()], "{name}: put wrappers/fetch.sh there, indented");
    }
}

#[test]
fn both_files_ask_with_the_same_functions() {
    let functions = |items: &Vec<String>| items.iter().find(|item| item.contains("cloudanix_ask()")).cloned();
    let copies: Vec<String> = scripts().iter().filter_map(|(_, items)| functions(items)).collect();
    assert_eq!(copies.len(), 3);
    assert!(copies.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn shellcheck_and_shfmt_find_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut all: Vec<(String, String)> = vec![(SELF_TEST.to_owned(), text(SELF_TEST))];
    for (name, items) in scripts() {
        // The fetch script has its own lint test.
        let items = items.iter().map(|item| match copy_in(item) {
            Some(_) => "cloudanix_find() {\n  echo cloudanix-jit\n}\n",
            None => item.as_str(),
        });
        all.push((name, format!("#!/bin/sh\nset -e\n{}", items.collect::<String>())));
    }
    for (number, (name, script)) in all.iter().enumerate() {
        let file = folder.path().join(format!("{number}.sh"));
        fs::write(&file, script).unwrap();
        // The job's script calls the functions, and the broker sets the grant's variables, so shellcheck sees neither.
        let found = run("shellcheck", &["--exclude=SC2329,SC2317", "--shell=sh"], &file);
        assert!(found.status.success(), "{name}: {}", String::from_utf8_lossy(&found.stdout));
        let found = run("shfmt", &["-d", "-i", "2", "-ci"], &file);
        assert!(found.status.success(), "{name}: {}", String::from_utf8_lossy(&found.stdout));
    }
}

fn run(program: &str, arguments: &[&str], file: &std::path::Path) -> Output {
    Command::new(python_program(program)).args(arguments).arg(file).current_dir(root()).output().unwrap()
}

#[test]
fn release_finds_the_pins_to_write() {
    for file in [COMPONENT, CLASSIC] {
        for line in ["      pinned_version=''\n", "      pinned_sums=''\n"] {
            assert_eq!(text(file).matches(line).count(), 1, "{file}: {line}");
        }
    }
}
