//! Every benchmark runs to its end and prints its ratios; the figures are not checked.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, whatever is not as expected is a failure")]

use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::aws::fixture::{AwsFixture, Mode};
use system_tests::aws::ministack::Ministack;

/// Uses unoptimised programs: times do not matter here.
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

/// The ratios, which are first in their lines.
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
    assert_ratios(&text, 5);
    assert!(text.contains("processor time of a pair"), "{text}");
}

#[test]
fn the_same_is_measured_on_postgresql() {
    let text = quick("postgres");
    assert_ratios(&text, 2);
    assert!(text.contains("pgbench"), "{text}");
}

#[test]
fn it_is_measured_what_many_grants_cost() {
    let text = quick("scale");
    assert_ratios(&text, 12);
    assert!(text.contains("50 grants: peak memory"), "{text}");
}

#[test]
fn it_is_measured_what_rules_cost() {
    let text = quick("rules");
    // A quick run does not build OPA.
    let compared = usize::from(!text.contains("skipped: a quick run does not build OPA"));
    assert_ratios(&text, 8 + compared);
    assert!(text.contains("40 live grants: until all are decided again"), "{text}");
}

#[test]
fn grants_in_aws_are_measured() {
    let text = quick("aws");
    // For each mode the broker's own time of elevate and revoke, and the time to the first AWS call; and one whole run.
    assert_ratios(&text, 3 * Mode::ALL.len() + 1);
    assert_eq!(text.matches(": p50 ").count(), Mode::ALL.len(), "when each is refused: {text}");
}

#[test]
fn smoke_measures_how_soon_a_revoked_grant_is_refused() {
    system_tests::programs::use_these(program("cloudanix-jit"), program("cloudanix-jit-broker"));
    let emulator = Ministack::start();
    let fixture = AwsFixture::start(&emulator);
    for (mode, held) in [(Mode::Session, None), (Mode::StaticInline, Some(fixture.deploy_session()))] {
        let agent = fixture.agent(mode);
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(["aws-refused", "--policy", "ecs-read", "--runs", "2", "--client"]);
        command.arg(program("cloudanix-jit")).env_clear().env("AWS_ENDPOINT_URL", emulator.url());
        command.env("CLOUDANIX_URL", fixture.broker.url()).env("CLOUDANIX_AGENT_ID", &agent.id);
        command.env("CLOUDANIX_AUTH_TOKEN", &agent.auth_token);
        if let Some(keys) = held {
            command.env("AWS_ACCESS_KEY_ID", keys.id).env("AWS_SECRET_ACCESS_KEY", keys.secret);
            command.env("AWS_SESSION_TOKEN", keys.token.unwrap());
        }
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("revoke to refused: p50 ") && text.contains("2 runs"), "{text}");
        fixture.broker.wait_until_nothing_is_live();
    }
}

#[test]
fn the_ends_are_measured() {
    assert_ratios(&quick("ends"), 3);
}
