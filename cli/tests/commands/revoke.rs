//! `revoke` succeeds if and only if the grant is gone.

use std::fs;

use predicates::str::contains;
use protocol::{ErrorCode, GrantStatus};

use crate::program::{GRANT_TOKEN, Program, grant, grant_id, grant_with_token};
use crate::scripted::{Reply, ScriptedBroker, json, problem, unused_address};

const BY_ID: [&str; 2] = ["revoke", "elev-9c11f3a800000001"];

#[test]
fn gone_and_unknown_are_successes() {
    for answer in [
        json(200, grant(GrantStatus::Revoked)),
        json(200, grant(GrantStatus::Failed)),
        problem(ErrorCode::GrantNotFound, "no such grant"),
    ] {
        let broker = ScriptedBroker::start([answer]);
        Program::new(&broker.url(), &BY_ID).assert().code(0).stderr(contains("✓ revoke"));
        assert_eq!(broker.lines(), [format!("DELETE /v2/agentic/jit/{}?cause=asked", grant_id())]);
    }
}

#[test]
fn a_404_that_is_not_the_brokers_is_no_success() {
    let page = Reply::Answer {
        status: 404,
        headers: vec![("content-type", "text/html".to_owned())],
        body: "?".into(),
    };
    let broker = ScriptedBroker::start([page]);
    Program::new(&broker.url(), &BY_ID).assert().code(5).stderr(contains("`text/html` that is not one"));
    let broker = ScriptedBroker::start([problem(ErrorCode::RouteNotFound, "no such path")]);
    Program::new(&broker.url(), &BY_ID).assert().code(2);
}

#[test]
fn an_accepted_revoke_is_waited_for() {
    let broker = ScriptedBroker::start([
        json(202, grant(GrantStatus::Revoking)),
        json(200, grant(GrantStatus::Verifying)),
        json(200, grant(GrantStatus::Revoked)),
    ]);
    Program::new(&broker.url(), &BY_ID).assert().code(0).stderr(contains("· revoked"));
}

#[test]
fn an_accepted_revoke_that_does_not_end_is_exit_7() {
    let stuck = || json(202, grant(GrantStatus::RevokeFailing));
    let broker = ScriptedBroker::start(std::iter::repeat_with(stuck).take(50));
    Program::new(&broker.url(), &[&BY_ID[..], &["--timeout", "1s"]].concat())
        .assert()
        .code(7)
        .stderr(contains("the broker has accepted it and `elev-9c11f3a800000001` is `revoke_failing`"));
}

#[test]
fn a_connection_that_closed_while_idle_does_not_lose_the_call() {
    let broker = ScriptedBroker::start([
        json(202, grant(GrantStatus::Revoking)),
        Reply::HangUp,
        json(200, grant(GrantStatus::Revoked)),
    ]);
    Program::new(&broker.url(), &BY_ID).assert().code(0);
    let connections: Vec<usize> = broker.seen().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[test]
fn an_unreachable_broker_is_exit_5() {
    Program::new(&unused_address(), &[&BY_ID[..], &["--timeout", "1s"]].concat())
        .assert()
        .code(5)
        .stderr(contains("cannot be reached"));
}

#[test]
fn a_state_file_is_revoked_by_its_key_and_removed() {
    let broker =
        ScriptedBroker::start([json(201, grant_with_token()), json(200, grant(GrantStatus::Revoked))]);
    let elevate = ["elevate", "--policy", "orders-read", "--ttl", "15m", "--state", "state.json"];
    let elevating = Program::new(&broker.url(), &elevate).hands_over(GRANT_TOKEN);
    elevating.assert().success();
    let state = elevating.folder().join("state.json");
    let revoke = ["revoke", "--state", state.to_str().unwrap()];
    Program::new(&broker.url(), &revoke).assert().code(0);
    let key = broker.seen()[0].header("idempotency-key").unwrap().to_owned();
    assert_eq!(broker.lines()[1], format!("DELETE /v2/agentic/jit?cause=asked&idempotency_key={key}"));
    assert!(!state.exists());
    Program::new(&broker.url(), &revoke)
        .assert()
        .code(0)
        .stderr(contains("nothing to revoke · there is no state file"));
}

#[test]
fn a_state_file_does_not_decide_where_the_auth_token_is_sent() {
    let (ours, theirs) = (ScriptedBroker::start([]), ScriptedBroker::start([]));
    let program = Program::new(&ours.url(), &["revoke", "--state", "state.json"]);
    let record = serde_json::json!({
        "version": 1, "url": format!("{}/", theirs.url()), "agent_id": "test-agent", "idempotency_key": "0".repeat(32)
    });
    fs::write(program.folder().join("state.json"), record.to_string()).unwrap();
    program.assert().code(2).stderr(contains("the state file is of the broker"));
    assert!(ours.seen().is_empty() && theirs.seen().is_empty());
}

#[test]
fn a_file_that_is_no_handle_is_refused() {
    let program = Program::new(&unused_address(), &["revoke", "--state", "state.json"]);
    fs::write(program.folder().join("state.json"), "{\"version\": 1}").unwrap();
    program.assert().code(2).stderr(contains("expected a handle as `elevate` or `run` writes it"));
}

#[test]
fn the_environment_of_the_steps_that_follow_names_the_grant() {
    let broker = ScriptedBroker::start([json(200, grant(GrantStatus::Revoked))]);
    Program::new(&broker.url(), &["revoke"]).env("CLOUDANIX_GRANT_ID", grant_id().as_str()).assert().code(0);
    assert_eq!(broker.seen().len(), 1);
    Program::new(&broker.url(), &["revoke"]).assert().code(2).stderr(contains("no grant is named"));
}

#[test]
fn every_command_of_an_agent_takes_the_auth_token_from_a_file() {
    let broker = ScriptedBroker::start([json(200, grant(GrantStatus::Revoked))]);
    let program = Program::new(&broker.url(), &BY_ID)
        .without("CLOUDANIX_AUTH_TOKEN")
        .env("CLOUDANIX_AUTH_TOKEN_FILE", "token")
        .env("CLOUDANIX_OPERATOR_TOKEN", "operator-token-of-the-test");
    fs::write(program.folder().join("token"), crate::program::auth_token()).unwrap();
    program.assert().code(0);
    assert!(!program.folder().join("token").exists());
    let sent = broker.seen()[0].header("authorization").unwrap().to_owned();
    assert_eq!(sent, format!("Bearer {}", crate::program::auth_token()), "and not the operator's");
}
