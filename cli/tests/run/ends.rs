//! The ends of a step: `run` exits with its code, and its grant is revoked.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;

use crate::fake_broker::{Call, FakeBroker, Fault, Received};
use crate::harness::{Running, Wrapper, files_in};
use protocol::ErrorCode;

fn run(broker: &FakeBroker, step: &[&str]) -> crate::harness::Finished {
    let mut arguments = vec!["--"];
    arguments.extend(step);
    Wrapper::new(broker, &arguments).finish()
}

#[test]
fn a_step_that_succeeds_is_revoked() {
    let broker = FakeBroker::start();
    let finished = run(&broker, &["true"]);
    finished.assert_code(0);
    assert_eq!(broker.books().live(), 0);
    assert_eq!(broker.books().seen, [Received::Elevate, Received::Revoke { cause: "exit:0".to_owned() }]);
    assert!(
        finished.stderr.contains("✓ elevate  policy attached · orders-read · 15m · elev-0000000000000001\n"),
        "{}",
        finished.stderr
    );
    assert!(finished.stderr.contains("✓ revoke   step finished · exit 0"), "{}", finished.stderr);
    assert_eq!(files_in(finished.folder.path()), [""; 0], "the handle is forgotten");
}

#[test]
fn a_step_that_fails_is_revoked_and_its_code_returned() {
    let broker = FakeBroker::start();
    run(&broker, &["sh", "-c", "exit 3"]).assert_code(3);
    assert_eq!(broker.books().outcome(), (0, vec!["exit:3"]));
}

#[test]
fn a_killed_step_is_revoked_and_the_code_names_the_signal() {
    let broker = FakeBroker::start();
    run(&broker, &["sh", "-c", "kill -KILL $$"]).assert_code(137);
    assert_eq!(broker.books().outcome(), (0, vec!["signal:9"]));
}

#[test]
fn a_missing_command_is_127_and_is_revoked() {
    let broker = FakeBroker::start();
    let finished = run(&broker, &["no-such-command"]);
    finished.assert_code(127);
    assert!(finished.stderr.contains("`no-such-command` cannot be started"), "{}", finished.stderr);
    assert_eq!(broker.books().outcome(), (0, vec!["not-started"]));
}

#[test]
fn a_command_that_cannot_be_executed_is_126_and_is_revoked() {
    let broker = FakeBroker::start();
    let wrapper = Wrapper::new(&broker, &["--", "./plain-file"]);
    fs::write(wrapper.folder.path().join("plain-file"), "not a program").unwrap();
    wrapper.finish().assert_code(126);
    assert_eq!(broker.books().outcome(), (0, vec!["not-started"]));
}

fn executable(wrapper: &Wrapper, name: &str, content: impl AsRef<[u8]>) {
    let path = wrapper.folder.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_script_without_interpreter_line_runs_as_in_a_shell() {
    for redact in ["never", "always"] {
        let broker = FakeBroker::start();
        let wrapper = Wrapper::new(&broker, &["--redact", redact, "--", "./deploy", "to prod"]);
        executable(&wrapper, "deploy", "echo \"$0 $1 $CLOUDANIX_GRANT_ID\"\nexit 3\n");
        let finished = wrapper.finish();
        finished.assert_code(3);
        assert_eq!(finished.stdout, "./deploy to prod elev-0000000000000001\n");
        assert_eq!(broker.books().outcome(), (0, vec!["exit:3"]));
    }
}

#[test]
fn a_program_for_another_machine_is_126_and_is_not_read_as_a_script() {
    let broker = FakeBroker::start();
    let wrapper = Wrapper::new(&broker, &["--", "./other"]);
    executable(&wrapper, "other", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\ntouch started\n");
    let finished = wrapper.finish();
    finished.assert_code(126);
    assert_eq!(files_in(finished.folder.path()), ["other"]);
    assert_eq!(broker.books().outcome(), (0, vec!["not-started"]));
}

#[test]
fn a_refusal_is_125_says_why_and_starts_nothing() {
    let broker = FakeBroker::start();
    broker.plan(Call::Elevate, &[Fault::Refuse(ErrorCode::PolicyNotPermitted)]);
    let wrapper = Wrapper::new(&broker, &["--", "touch", "started"]);
    let finished = wrapper.finish();
    finished.assert_code(125);
    assert!(finished.stderr.contains("policy outside the boundary"), "{}", finished.stderr);
    assert_eq!(files_in(finished.folder.path()), [""; 0]);
    assert_eq!(broker.books().seen, [Received::Elevate], "there was nothing to revoke");
}

#[test]
fn a_retry_after_a_lost_answer_joins_the_same_grant() {
    let broker = FakeBroker::start();
    broker.plan(Call::Elevate, &[Fault::LoseReply]);
    run(&broker, &["true"]).assert_code(0);
    let books = broker.books();
    assert_eq!((books.grants.len(), books.live()), (1, 0));
}

#[test]
fn without_an_answer_the_possible_grant_is_revoked() {
    let broker = FakeBroker::start();
    broker.plan(Call::Elevate, &[Fault::Hang]);
    let wrapper = Wrapper::new(&broker, &["--timeout", "1s", "--", "touch", "started"]);
    let finished = wrapper.finish();
    finished.assert_code(125);
    broker.wait("the revoke by key", |books| books.live() == 0);
    assert_eq!(broker.books().causes(), ["not-started"]);
    assert_eq!(files_in(finished.folder.path()), [""; 0]);
}

#[test]
fn the_step_has_its_credentials_and_no_token_of_the_client() {
    let broker = FakeBroker::start();
    let finished = Wrapper::new(&broker, &["--redact", "never", "--", "env"])
        .env("ACTIONS_RUNTIME_TOKEN", "runtime")
        .env("SYSTEM_ACCESSTOKEN", "system")
        .env("HARMLESS", "stays")
        .finish();
    finished.assert_code(0);
    let has = |name: &str| finished.stdout.lines().any(|line| line.starts_with(&format!("{name}=")));
    assert!(has("HARMLESS"));
    assert!(finished.stdout.contains("CLOUDANIX_GRANT_ID=elev-0000000000000001\n"), "{}", finished.stdout);
    assert!(
        finished.stdout.contains(&format!("CLOUDANIX_GRANT_TOKEN={}\n", crate::fake_broker::GRANT_TOKEN))
    );
    for name in ["CLOUDANIX_AUTH_TOKEN", "ACTIONS_RUNTIME_TOKEN", "SYSTEM_ACCESSTOKEN"] {
        assert!(!has(name), "{name}");
    }
}

const PATIENT: &str = "until test -e go; do sleep 0.01; done; exit 5";

/// Lets the step end once the wrapper has said this.
fn let_go_after(mut running: Running, said: &str) -> Option<i32> {
    let mut lines = BufReader::new(running.child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(said)), "{said}");
    fs::write(running.folder.path().join("go"), "").unwrap();
    assert!(lines.any(|line| line.unwrap().contains("revoke")));
    running.status().code()
}

#[test]
fn a_refused_heartbeat_is_a_warning_and_the_step_continues() {
    let broker = FakeBroker::start();
    broker.set_heartbeat_seconds(1);
    let running = Wrapper::new(&broker, &["--", "sh", "-c", PATIENT]).start();
    broker.wait("a heartbeat", |books| books.heartbeats() == 1);
    broker.end_all();
    assert_eq!(let_go_after(running, "the grant has ended"), Some(5));
}

#[test]
fn the_deadline_is_a_warning_and_the_step_continues() {
    let broker = FakeBroker::start();
    let running = Wrapper::for_ttl("1s", &broker, &["--", "sh", "-c", PATIENT]).start();
    assert_eq!(let_go_after(running, "reached its deadline"), Some(5));
}
