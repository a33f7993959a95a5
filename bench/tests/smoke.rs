//! Does every benchmark still run to its end and print its ratios? Never how fast.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, whatever is not as expected is a failure")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that are not optimised do: times do not matter here.
fn program(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name(name);
    if !program.is_file() {
        panic!(
            "`{}` is missing: run `cargo build -p cloudanix-jit -p cloudanix-jit-broker`",
            program.display()
        );
    }
    program
}

fn quick(what: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args([what, "--quick", "--client"])
        .arg(program("cloudanix-jit"))
        .arg("--broker")
        .arg(program("cloudanix-jit-broker"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The ratios, which stand first in their lines.
fn ratios(text: &str) -> Vec<f64> {
    text.lines().filter_map(|line| line.trim_start().split(' ').next()?.parse().ok()).collect()
}

#[track_caller]
fn assert_ratios(text: &str, expected: usize) {
    let found = ratios(text);
    assert_eq!(found.len(), expected, "{text}");
    assert!(found.iter().all(|ratio| ratio.is_finite() && *ratio >= 0.0), "{text}");
}

#[test]
fn the_clients_figures_are_measured() {
    let text = quick("client");
    assert_ratios(&text, 14);
    assert!(text.contains("connections of a run"), "{text}");
}

#[test]
fn the_brokers_figures_are_measured() {
    let text = quick("broker");
    assert_ratios(&text, 4);
    assert!(text.contains("processor time of a pair"), "{text}");
}

#[test]
fn the_ends_are_measured() {
    assert_ratios(&quick("ends"), 3);
}
