//! No process writes the keys of a session or of the broker, even if the step tries and the broker logs everything.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use system_tests::aws::fixture::{AwsFixture, Mode, Setting};
use system_tests::aws::ministack::Ministack;
use system_tests::aws::steps::Sdk;
use system_tests::client::{Client, Finished};
use system_tests::fixture::Agent;
use system_tests::leak_scan::LeakScan;

const RUN: [&str; 5] = ["run", "--policy", "ecs-read", "--ttl", "2h"];

/// A fixture with a movable clock and a broker that logs everything.
#[track_caller]
fn fixture(emulator: &Ministack) -> AwsFixture<'_> {
    let mut launcher = emulator.clock().launcher();
    // The AWS SDK requires the last two before it logs keys.
    let all = ["RUST_LOG=trace", "LOG_SENSITIVE_BODIES=true", "LOG_SIGNABLE_BODY=true"];
    launcher.extend(all.map(str::to_owned));
    // Heartbeats use real timers, which the movable clock does not affect.
    let limits = "heartbeat = \"2h\"";
    AwsFixture::with(emulator, &Setting { launcher, limits, ..Setting::in_front_of(&emulator.url()) })
}

fn client(fixture: &AwsFixture<'_>, agent: &Agent, options: &[&str], words: &str) -> Client {
    let step = Sdk::Python.step(words);
    let line: Vec<&str> =
        options.iter().copied().chain(["--"]).chain(step.iter().map(String::as_str)).collect();
    fixture.client(agent, &fixture.pipeline, &line)
}

/// Reads the keys that the step stored in a file, registers them as secrets and removes the file.
fn kept(scan: &mut LeakScan, name: &str, file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    fs::remove_file(file).unwrap();
    let keys: Vec<&str> = text.lines().collect();
    scan.secret(&format!("{name}: secret key"), keys[1]);
    scan.secret(&format!("{name}: session token"), keys[2]);
}

fn seen(scan: &mut LeakScan, name: &str, finished: &Finished) {
    scan.written(&format!("{name}: stdout"), finished.stdout.clone());
    scan.written(&format!("{name}: stderr"), finished.stderr.clone());
    scan.folder(&format!("{name}: folder"), finished.folder.path());
}

/// Adds the broker's own secret, its logs and its responses.
fn broker(scan: &mut LeakScan, fixture: &mut AwsFixture<'_>, agents: &[Agent]) {
    fixture.broker.wait_until_nothing_is_live();
    let environment = fs::read_to_string(format!("/proc/{}/environ", fixture.broker.pid())).unwrap();
    let own = environment.split('\0').find_map(|pair| pair.strip_prefix("AWS_SECRET_ACCESS_KEY=")).unwrap();
    scan.secret("the broker's secret key", own);
    scan.written(
        "the broker's command line",
        fs::read(format!("/proc/{}/cmdline", fixture.broker.pid())).unwrap(),
    );
    for agent in agents {
        scan.secret("auth token", &agent.auth_token);
    }
    for grant in fixture.broker.grants("all") {
        let id = grant["id"].as_str().unwrap();
        scan.written("timeline", fixture.broker.timeline(id).to_string());
        scan.written("grant", grant.to_string());
    }
    for path in ["/metrics", "/v2/agents"] {
        scan.written(path, fixture.broker.operator(Method::GET, path).text);
    }
    let folder = fixture.broker.folder().to_owned();
    scan.folder("broker", &folder);
    fixture.broker.stop();
    scan.folder("broker, stopped", &folder);
}

#[track_caller]
fn assert_no_leak(scan: &LeakScan) {
    assert!(scan.bytes() > 50_000, "{}", scan.bytes());
    let finds = scan.finds();
    assert!(finds.is_empty(), "{}", finds.join("\n"));
}

#[test]
fn keys_that_come_and_are_renewed_are_nowhere_even_if_the_step_shows_them() {
    let emulator = Ministack::with_faketime();
    let mut fixture = fixture(&emulator);
    let agents = [Mode::Session, Mode::Role].map(|mode| fixture.agent(mode));
    let mut scan = LeakScan::default();
    let words = "clusters keep one show tell up wait go clusters keep two show tell end wait on";
    for agent in &agents {
        let options = [&RUN[..], &["--aws-credentials", "endpoint", "--reason", "to see"]].concat();
        let mut running = client(&fixture, agent, &options, words).start();
        running.line_in("up");
        for process in [running.pid(), running.keeper()] {
            scan.written("command line", fs::read(format!("/proc/{process}/cmdline")).unwrap());
        }
        scan.written("keeper", fs::read(format!("/proc/{}/environ", running.keeper())).unwrap());
        kept(&mut scan, "first", &running.folder().join("one"));
        emulator.clock().advance(Duration::from_secs(57 * 60));
        running.touch("go");
        running.line_in("end");
        kept(&mut scan, "renewed", &running.folder().join("two"));
        running.touch("on");
        let finished = running.finish();
        finished.assert_code(0);
        assert!(finished.stdout.contains("allowed"), "only the keys are redacted: {}", finished.stdout);
        seen(&mut scan, "endpoint", &finished);

        let finished = client(&fixture, agent, &[&RUN[..], &["--aws-credentials", "env"]].concat(), words);
        let finished = finished.file("go", "").file("on", "").finish();
        finished.assert_code(0);
        kept(&mut scan, "environment", &finished.folder.path().join("one"));
        fs::remove_file(finished.folder.path().join("two")).unwrap();
        seen(&mut scan, "environment", &finished);

        let asked =
            ["elevate", "--policy", "ecs-read", "--ttl", "15m", "--output", "json", "--state", "state"];
        let elevated = fixture.client(agent, &fixture.pipeline, &asked).finish();
        elevated.assert_code(0);
        for name in ["secret_access_key", "session_token"] {
            scan.secret(name, elevated.json()["credentials"][name].as_str().unwrap());
        }
        // The client prints the keys on stdout, so the scan skips it.
        scan.written("elevate: stderr", elevated.stderr.clone());
        scan.written("elevate: state", fs::read(elevated.folder.path().join("state")).unwrap());
        let id = elevated.json()["id"].as_str().unwrap().to_owned();
        let revoked = fixture.client(agent, &fixture.pipeline, &["revoke", &id]).finish();
        seen(&mut scan, "revoke", &revoked);
    }
    broker(&mut scan, &mut fixture, &agents);
    assert!(fixture.broker.log().contains("TRACE"), "the broker's trace log is missing");
    assert_no_leak(&scan);
}

/// Proves that the scan of the other test finds leaks.
#[test]
fn without_redaction_the_scan_finds_what_the_step_shows() {
    let emulator = Ministack::with_faketime();
    let fixture = fixture(&emulator);
    let agent = fixture.agent(Mode::Session);
    let options = [&RUN[..], &["--redact", "never"]].concat();
    let finished = client(&fixture, &agent, &options, "clusters keep one show").finish();
    finished.assert_code(0);
    let mut scan = LeakScan::default();
    kept(&mut scan, "session", &finished.folder.path().join("one"));
    seen(&mut scan, "unredacted", &finished);
    let finds = scan.finds().join("\n");
    for form in ["raw) in unredacted: stdout", "raw) in unredacted: stderr", "base64, from byte 2"] {
        assert!(finds.contains(form), "{form} is not in\n{finds}");
    }
}
