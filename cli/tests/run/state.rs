//! `run --state FILE`: the caller has a handle at any time, and the file says how the run ended.

use std::fs;
use std::path::Path;
use std::process::Command;

use protocol::ErrorCode;
use serde_json::{Value, json};

use crate::fake_broker::{Call, FakeBroker, Fault, Received};
use crate::harness::{Finished, Wrapper, auth_token, eventually, kill};

fn with_state(broker: &FakeBroker, step: &[&str]) -> Wrapper {
    let mut arguments = vec!["--state", "state.json", "--"];
    arguments.extend(step);
    Wrapper::new(broker, &arguments)
}

fn read(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("state.json")).unwrap()).unwrap()
}

fn end(finished: &Finished) -> Value {
    read(finished.folder.path())["end"].take()
}

/// `revoke --state` with the same broker.
fn revoke(broker: &FakeBroker, folder: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudanix-jit"));
    command.args(["revoke", "--state", "state.json"]).env_clear().env("CLOUDANIX_URL", &broker.url);
    command.env("CLOUDANIX_AUTH_TOKEN", auth_token().secret().reveal()).current_dir(folder);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    stderr
}

#[test]
fn the_state_file_names_the_grant_and_stays() {
    let broker = FakeBroker::start();
    let finished = with_state(&broker, &["sh", "-c", "cp state.json seen.json; exit 3"]).finish();
    finished.assert_code(3);
    let seen = fs::read_to_string(finished.folder.path().join("seen.json")).unwrap();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["grant_id"], "elev-0000000000000001");
    assert!(seen["expires_at"].is_string() && seen["end"].is_null(), "{seen}");
    assert_eq!(end(&finished), json!({"exit_code": 3, "revoked": true}));
}

#[test]
fn the_handle_exists_before_the_first_request() {
    let broker = FakeBroker::start();
    broker.plan(Call::Elevate, &[Fault::Hang]);
    let running = with_state(&broker, &["true"]).start();
    broker.wait("the question", |books| books.seen == [Received::Elevate]);
    let folder = running.folder.path().to_owned();
    let key = read(&folder)["idempotency_key"].clone();
    assert_eq!(key, json!(broker.books().grants[0].0));
    kill(running.keeper(), "KILL");
    running.signal("KILL");
    revoke(&broker, &folder);
    assert_eq!(broker.books().live(), 0);
    assert!(revoke(&broker, &folder).contains("there is no state file"), "idempotent");
    running.finish();
}

#[test]
fn an_existing_state_file_is_refused_and_unchanged() {
    let broker = FakeBroker::start();
    let wrapper = with_state(&broker, &["true"]);
    fs::write(wrapper.folder.path().join("state.json"), "theirs").unwrap();
    let finished = wrapper.finish();
    finished.assert_code(125);
    assert!(finished.stderr.contains("the state file `state.json` exists already"), "{}", finished.stderr);
    assert_eq!(fs::read_to_string(finished.folder.path().join("state.json")).unwrap(), "theirs");
    assert_eq!(broker.books().seen, []);
}

#[test]
fn a_refusal_is_in_the_state_file_as_it_is_printed() {
    let broker = FakeBroker::start();
    broker.plan(Call::Elevate, &[Fault::Refuse(ErrorCode::PolicyNotPermitted)]);
    let finished = with_state(&broker, &["true"]).finish();
    finished.assert_code(125);
    let end = end(&finished);
    assert_eq!((&end["exit_code"], &end["revoked"]), (&json!(125), &json!(true)));
    assert_eq!(end["problem"]["code"], "policy_not_permitted");
    let message = end["problem"]["message"].as_str().unwrap();
    assert!(finished.stderr.contains(message), "{message} in {}", finished.stderr);
    assert!(revoke(&broker, finished.folder.path()).contains("nothing to revoke"));
}

#[test]
fn a_wrong_set_up_is_in_the_state_file_as_revoked() {
    let broker = FakeBroker::start();
    let finished = with_state(&broker, &["true"]).env("CLOUDANIX_AGENT_ID", "").finish();
    finished.assert_code(125);
    let end = end(&finished);
    assert_eq!(end["problem"]["message"], "`CLOUDANIX_AGENT_ID` is not set");
    assert!(end["problem"]["hint"].is_string() && end["revoked"] == json!(true), "{end}");
    assert!(revoke(&broker, finished.folder.path()).contains("no grant was requested"));
    assert!(revoke(&broker, finished.folder.path()).contains("there is no state file"), "idempotent");
    assert_eq!(broker.books().seen, []);
}

#[test]
fn a_command_that_cannot_be_started_is_in_the_state_file() {
    let broker = FakeBroker::start();
    let finished = with_state(&broker, &["no-such-command"]).finish();
    finished.assert_code(127);
    let state = read(finished.folder.path());
    assert_eq!(state["grant_id"], "elev-0000000000000001");
    assert_eq!(state["end"]["exit_code"], 127);
    let message = state["end"]["problem"]["message"].as_str().unwrap();
    assert!(message.contains("`no-such-command` cannot be started"), "{message}");
}

#[test]
fn an_unconfirmed_revoke_is_in_the_state_file_and_can_be_repeated() {
    let broker = FakeBroker::start();
    let running =
        with_state(&broker, &["sh", "-c", "echo $$ > pid; until test -e go; do sleep 0.01; done"]).start();
    running.pid_in("pid");
    broker.set_down(true);
    let folder = running.folder.path().to_owned();
    fs::write(folder.join("go"), "").unwrap();
    let end = eventually("the end in the state file", || {
        let end = read(&folder)["end"].take();
        end.is_object().then_some(end)
    });
    assert_eq!(end, json!({"exit_code": 0, "revoked": false}));
    broker.set_down(false);
    revoke(&broker, &folder);
    assert_eq!(broker.books().live(), 0);
    running.finish().assert_code(0);
}

#[test]
fn a_stop_before_the_command_is_in_the_state_file() {
    let broker = FakeBroker::start();
    broker.plan(Call::Elevate, &[Fault::Hang]);
    let running = with_state(&broker, &["touch", "started"]).start();
    broker.wait("the question", |books| books.seen == [Received::Elevate]);
    running.signal("TERM");
    let finished = running.finish();
    finished.assert_code(143);
    let end = end(&finished);
    assert_eq!((&end["exit_code"], &end["revoked"]), (&json!(143), &json!(true)));
    assert!(end["problem"]["message"].as_str().unwrap().contains("SIGTERM"), "{end}");
    assert!(!finished.folder.path().join("started").exists());
}
