//! What does a person read who asks for help, or makes a mistake on the command line?

use crate::program::Program;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["run"],
    &["elevate"],
    &["revoke"],
    &["status"],
    &["whoami"],
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
    &["completions"],
];

#[test]
fn every_help() {
    for command in COMMANDS {
        let finished = Program::bare(&[command, &["--help"][..]].concat()).finish();
        finished.assert_code(0);
        let name = ["help"].iter().chain(*command).copied().collect::<Vec<_>>().join("-");
        insta::assert_snapshot!(name, finished.stdout);
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
    ];
    for (name, line) in mistakes {
        let finished = Program::bare(line).finish();
        // 2 could be the command's own code.
        finished.assert_code(if line.first() == Some(&"run") { 125 } else { 2 });
        insta::assert_snapshot!(format!("mistake-{name}"), finished.stderr);
    }
}

#[test]
fn a_secret_is_never_taken_from_the_command_line() {
    for command in COMMANDS {
        let help = Program::bare(&[command, &["--help"][..]].concat()).finish().stdout;
        for option in ["--token", "--auth", "--secret", "--password", "--key"] {
            assert!(!help.contains(option), "{option} in {help}");
        }
    }
}

#[test]
fn the_version_is_the_package_s() {
    for asked in ["--version", "-V"] {
        let finished = Program::bare(&[asked]).finish();
        assert_eq!(
            finished.assert_code(0).stdout,
            concat!("cloudanix-jit ", env!("CARGO_PKG_VERSION"), "\n")
        );
    }
    Program::bare(&["--version", "--nonsense"]).finish().assert_code(0);
    Program::bare(&["--nonsense", "--version"]).finish().assert_code(2);
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let finished = Program::bare(&["completions", shell]).finish();
        assert!(finished.assert_code(0).stdout.contains("rotate-token"), "{shell}");
        assert!(!finished.stdout.contains("keeper"), "{shell} offers what is internal");
    }
}
