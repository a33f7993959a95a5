//! The help texts, and the errors for mistakes on the command line.

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;

use crate::program::{Printed as _, Program};

const COMMANDS: &[&[&str]] = &[
    &[],
    &["run"],
    &["elevate"],
    &["revoke"],
    &["status"],
    &["whoami"],
    &["login"],
    &["logout"],
    &["doctor"],
    &["timeline"],
    &["agent"],
    &["agent", "apply"],
    &["agent", "list"],
    &["agent", "show"],
    &["agent", "disable"],
    &["agent", "enable"],
    &["agent", "rotate-token"],
    &["agent", "revoke-token"],
    &["grants"],
    &["grants", "list"],
    &["grants", "revoke"],
    &["rules"],
    &["rules", "check"],
    &["rules", "test"],
    &["rules", "apply"],
    &["rules", "show"],
    &["rules", "history"],
    &["rules", "promote"],
    &["rules", "rollout"],
    &["rules", "rollback"],
    &["rules", "clear-candidate"],
    &["rules", "diff-report"],
    &["rules", "replay"],
    &["rules", "explain"],
    &["observations"],
    &["observations", "report"],
    &["requests"],
    &["approve"],
    &["deny"],
    &["approvals"],
    &["approvals", "allow"],
    &["approvals", "list"],
    &["approvals", "revoke"],
    &["break-glass"],
    &["break-glass", "seal"],
    &["break-glass", "codes"],
    &["break-glass", "revoke-code"],
    &["break-glass", "list"],
    &["break-glass", "review"],
    &["notifications"],
    &["sessions"],
    &["sessions", "list"],
    &["sessions", "end"],
    &["completions"],
];

#[test]
fn every_help() {
    for command in COMMANDS {
        let finished = Program::bare(&[command, &["--help"][..]].concat()).assert().code(0);
        let name = ["help"].iter().chain(*command).copied().collect::<Vec<_>>().join("-");
        insta::assert_snapshot!(name, finished.printed());
    }
}

#[test]
fn mistakes_on_the_command_line() {
    let mistakes: &[(&str, &[&str])] = &[
        ("no-command", &[]),
        ("no-policy", &["elevate", "--ttl", "15m"]),
        ("a-ttl-without-unit", &["elevate", "--policy", "p", "--ttl", "15"]),
        ("a-ttl-too-long", &["elevate", "--policy", "p", "--ttl", "25h"]),
        ("not-a-grant-id", &["revoke", "elev-1"]),
        ("run-without-a-command", &["run", "--policy", "p", "--ttl", "15m"]),
        ("doctor-with-a-policy-only", &["doctor", "--policy", "p"]),
        ("break-glass-alone", &["break-glass"]),
        (
            "break-glass-without-an-incident",
            &["break-glass", "--policy", "p", "--reason", "lost", "--", "true"],
        ),
        (
            "break-glass-for-too-long",
            &[
                "break-glass",
                "--policy",
                "p",
                "--incident",
                "I",
                "--reason",
                "lost",
                "--ttl",
                "61m",
                "--",
                "true",
            ],
        ),
        ("break-glass-without-a-label", &["break-glass", "seal", "--agents", "*"]),
    ];
    for (name, line) in mistakes {
        // 2 could be the command's own code.
        let runs = line.first() == Some(&"run") || line.contains(&"--");
        let code = if runs { 125 } else { 2 };
        let finished = Program::bare(line).assert().code(code);
        insta::assert_snapshot!(format!("mistake-{name}"), finished.said());
    }
}

#[test]
fn a_secret_is_never_taken_from_the_command_line() {
    for command in COMMANDS {
        let help = Program::bare(&[command, &["--help"][..]].concat()).assert().printed();
        for option in ["--token", "--auth", "--secret", "--password", "--key"] {
            assert!(!help.contains(option), "{option} in {help}");
        }
    }
}

#[test]
fn the_version_is_the_packages() {
    for asked in ["--version", "-V"] {
        let version = concat!("cloudanix-jit ", env!("CARGO_PKG_VERSION"), "\n");
        Program::bare(&[asked]).assert().code(0).stdout(version);
    }
    Program::bare(&["--version", "--nonsense"]).assert().code(0);
    Program::bare(&["--nonsense", "--version"]).assert().code(2);
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        // `keeper` is internal.
        let completions = Program::bare(&["completions", shell]).assert().code(0);
        completions.stdout(contains("rotate-token")).stdout(contains("keeper").not());
    }
}
