//! `agent`: its output, and its requests to the broker.

use std::fs;

use predicates::str::contains;
use protocol::agents::{Agent, AgentList, AgentStatus, Applied, Disabled, Outcome, Rotated, TokenInfo};
use protocol::{ErrorCode, Secret};

use crate::program::{Printed as _, Program, auth_token};
use crate::scripted::{Reply, ScriptedBroker, json, problem};

const REGISTRATION: &str = "id = \"test-agent\"\n# kept as it is\n";

fn agent(id: &str) -> Agent {
    Agent {
        id: id.parse().unwrap(),
        description: "deploys \u{1b}[31mmain".to_owned(),
        use_case: "build-workflow".to_owned(),
        max_session: "1h".parse().unwrap(),
        targets: vec!["token".to_owned()],
        status: AgentStatus::Active,
        created_at: "2026-06-08T14:00:14Z".parse().unwrap(),
        updated_at: "2026-06-08T14:00:14Z".parse().unwrap(),
        registration: REGISTRATION.to_owned(),
        from_file: false,
        tokens: vec![TokenInfo {
            id: "010101010101".to_owned(),
            created_at: "2026-06-08T14:00:14Z".parse().unwrap(),
            expires_at: None,
        }],
    }
}

fn applied() -> Reply {
    applied_with(&[])
}

fn applied_with(warnings: &[&str]) -> Reply {
    let auth_token = Some(Secret::new(auth_token()));
    let warnings = warnings.iter().map(|warning| (*warning).to_owned()).collect();
    let agent_id = "test-agent".parse().unwrap();
    json(201, Applied { agent_id, outcome: Outcome::Created, auth_token, warnings })
}

#[test]
fn apply_sends_the_file_unchanged_and_prints_the_token_once() {
    let broker = ScriptedBroker::start([applied()]);
    let program =
        Program::operator(&broker.url(), &["agent", "apply", "-f", "agent.toml", "--output", "json"]);
    fs::write(program.folder().join("agent.toml"), REGISTRATION).unwrap();
    let finished = program.hands_over(&auth_token()).assert();
    let printed: serde_json::Value = serde_json::from_str(&finished.code(0).printed()).unwrap();
    assert_eq!((&printed["agent_id"], &printed["auth_token"]), (&"test-agent".into(), &auth_token().into()));
    let request = &broker.seen()[0];
    assert_eq!(
        (request.line.as_str(), request.body.as_str()),
        ("POST /v2/agents?replace=true", REGISTRATION)
    );
    assert_eq!(request.header("content-type"), Some("application/toml"));
    assert_eq!(request.header("authorization"), Some("Bearer operator-token-of-the-test"));
}

#[test]
fn apply_reads_standard_input_and_can_refuse_existing_agents() {
    let broker = ScriptedBroker::start([problem(ErrorCode::AgentExists, "`test-agent` exists"), applied()]);
    let line = ["agent", "apply", "-f", "-", "--create-only"];
    Program::operator(&broker.url(), &line)
        .stdin(REGISTRATION)
        .assert()
        .code(2)
        .stderr(contains("`test-agent` exists"));
    assert_eq!(broker.lines(), ["POST /v2/agents"]);
    Program::operator(&broker.url(), &line)
        .stdin(REGISTRATION)
        .hands_over(&auth_token())
        .assert()
        .code(0)
        .stderr(contains("shown once"))
        .stdout(format!("{}\n", auth_token()));
}

#[test]
fn a_mistake_in_the_file_is_printed_without_ci_commands() {
    let detail =
        "TOML parse error at line 1, column 6\n  |\n1 | id = \u{1b}[31m\n  |      ^\n::add-mask::read\r\n";
    let broker = ScriptedBroker::start([problem(ErrorCode::InvalidRegistration, detail)]);
    let refused =
        Program::operator(&broker.url(), &["agent", "apply", "-f", "-"]).stdin("id = \u{1b}[31m").assert();
    insta::assert_snapshot!("agent-apply-mistake", refused.code(2).said());
}

#[test]
fn apply_prints_the_warnings_of_the_broker() {
    let warning = "policy `cdk` allows `sts:AssumeRole`: what these create outlives the grant and its revoke";
    let broker = ScriptedBroker::start([applied_with(&[warning]), applied_with(&[warning])]);
    let run = |more: &[&str]| {
        let line = [&["agent", "apply", "-f", "-"], more].concat();
        Program::operator(&broker.url(), &line).stdin(REGISTRATION).hands_over(&auth_token()).assert()
    };
    let finished = run(&[]);
    finished.code(0).stderr(contains(format!("! apply    {warning}")));
    let finished = run(&["--output", "json"]);
    let printed: serde_json::Value = serde_json::from_str(&finished.code(0).printed()).unwrap();
    assert_eq!(printed["warnings"], serde_json::json!([warning]));
}

#[test]
fn list_follows_the_pages() {
    let page = |id: &str, next: Option<&str>| {
        json(200, AgentList { agents: vec![agent(id)], next: next.map(|next| next.parse().unwrap()) })
    };
    let broker = ScriptedBroker::start([page("first", Some("first")), page("second", None)]);
    let finished = Program::operator(&broker.url(), &["agent", "list"]).assert();
    insta::assert_snapshot!("agent-list", finished.code(0).printed());
    assert_eq!(broker.lines(), ["GET /v2/agents?limit=100", "GET /v2/agents?limit=100&after=first"]);
}

#[test]
fn show_disable_enable_and_tokens() {
    let id: protocol::AgentId = "test-agent".parse().unwrap();
    let rotated = Rotated {
        agent_id: id.clone(),
        auth_token: Secret::new(auth_token()),
        previous_expire_at: "2026-06-08T15:00:14Z".parse().unwrap(),
    };
    let broker = ScriptedBroker::start([
        json(200, agent("test-agent")),
        json(200, Disabled { agent_id: id, grants_ending: 2 }),
        json(200, agent("test-agent")),
        json(201, rotated),
        Reply::Answer { status: 204, headers: Vec::new(), body: String::new() },
    ]);
    let run = |line: &[&str]| Program::operator(&broker.url(), &[&["agent"], line].concat());
    insta::assert_snapshot!("agent-show", run(&["show", "test-agent"]).assert().code(0).printed());
    run(&["disable", "test-agent"]).assert().code(0).stderr(contains("2 live grants are being ended"));
    run(&["enable", "test-agent"]).assert().code(0);
    let rotate = run(&["rotate-token", "test-agent", "--overlap", "1h"]).hands_over(&auth_token());
    rotate.assert().code(0).stdout(format!("{}\n", auth_token()));
    run(&["revoke-token", "test-agent", "010101010101"]).assert().code(0);
    assert_eq!(
        broker.lines(),
        [
            "GET /v2/agents/test-agent",
            "POST /v2/agents/test-agent/disable",
            "POST /v2/agents/test-agent/enable",
            "POST /v2/agents/test-agent/tokens",
            "DELETE /v2/agents/test-agent/tokens/010101010101",
        ]
    );
    assert_eq!(broker.seen()[3].body, r#"{"overlap":"1h"}"#);
}

#[test]
fn a_whole_token_given_as_its_id_is_not_quoted() {
    let broker = ScriptedBroker::start([]);
    let token = auth_token();
    Program::operator(&broker.url(), &["agent", "revoke-token", "test-agent", &token])
        .assert()
        .code(2)
        .stderr(contains("expected the 12 hexadecimal digits after `cjat_`"));
    assert!(broker.seen().is_empty());
}

#[test]
fn a_missing_operator_token_is_named() {
    Program::bare(&["agent", "list"])
        .env("CLOUDANIX_URL", "https://jit.example.com")
        .assert()
        .code(2)
        .stderr(contains("`CLOUDANIX_OPERATOR_TOKEN` is not set"));
}
