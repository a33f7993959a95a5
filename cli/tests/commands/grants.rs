//! `grants`: lists, and revokes of many grants.

use predicates::str::contains;
use protocol::{Denials, ErrorCode, Grant, GrantId, GrantList, GrantStatus, Timestamp};
use serde_json::Value;

use crate::program::{Printed as _, Program, grant};
use crate::scripted::{Reply, ScriptedBroker, json, problem};

fn id(number: u8) -> GrantId {
    GrantId::from_random([number; 8])
}

fn numbered(number: u8, status: GrantStatus) -> Grant {
    Grant { id: id(number), ..grant(status) }
}

fn page(grants: Vec<Grant>, next: Option<u8>) -> Reply {
    json(200, GrantList { grants, next: next.map(id) })
}

/// All that a revoke by agent looks at is that there is one.
fn the_agent() -> Reply {
    json(
        200,
        serde_json::json!({
            "id": "test-agent", "description": "", "use_case": "other", "max_session": "1h", "targets": ["token"],
            "status": "active", "created_at": "2026-06-08T14:00:14Z", "updated_at": "2026-06-08T14:00:14Z",
            "registration": "", "tokens": [],
        }),
    )
}

fn deletes(numbers: impl IntoIterator<Item = u8>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("DELETE /v2/agentic/jit/{}?cause=asked", id(n))).collect()
}

#[test]
fn list_follows_the_pages_and_sends_its_filters() {
    let at = Timestamp::from_secs(1_780_927_300);
    let ended = Grant { ended_at: Some(at), ..numbered(2, GrantStatus::Revoked) };
    let refused =
        Grant { denials: Some(Denials { count: 42, last_at: at }), ..numbered(3, GrantStatus::Denied) };
    let pages = || {
        [
            page(vec![numbered(1, GrantStatus::Active)], Some(1)),
            page(vec![ended.clone(), refused.clone()], None),
        ]
    };
    let broker = ScriptedBroker::start(pages());
    let finished = Program::operator(&broker.url(), &["grants", "list"]).assert();
    insta::assert_snapshot!("grants-list", finished.code(0).printed());
    assert_eq!(
        broker.lines(),
        [
            "GET /v2/agentic/jit?limit=200".to_owned(),
            format!("GET /v2/agentic/jit?limit=200&after={}", id(1))
        ]
    );

    let broker = ScriptedBroker::start(pages());
    let line = ["grants", "list", "--live", "--agent", "test-agent", "--output", "json"];
    let finished = Program::operator(&broker.url(), &line).assert();
    let listed: Value = serde_json::from_str(&finished.code(0).printed()).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(listed[2]["denials"]["count"], 42);
    assert_eq!(broker.lines()[0], "GET /v2/agentic/jit?limit=200&state=live&agent=test-agent");
}

#[test]
fn revoke_ends_each_grant_and_can_be_repeated() {
    let broker = ScriptedBroker::start([
        json(202, numbered(1, GrantStatus::Revoking)),
        json(200, numbered(2, GrantStatus::Revoked)),
        json(200, numbered(1, GrantStatus::Revoked)),
    ]);
    let (one, two) = (id(1).to_string(), id(2).to_string());
    let finished = Program::operator(&broker.url(), &["grants", "revoke", &one, &two]).assert();
    finished
        .code(0)
        .stderr(contains(format!("✓ revoke   {one} · revoked")))
        .stderr(contains(format!("✓ revoke   {two} · revoked")));
    let mut asked = deletes([1, 2]);
    asked.push(format!("GET /v2/agentic/jit/{one}"));
    assert_eq!(broker.lines(), asked, "each is asked for before any is waited for");
}

#[test]
fn revoke_continues_after_a_failure_and_exits_with_7() {
    let broker = ScriptedBroker::start([
        problem(ErrorCode::GrantNotFound, "no such grant"),
        problem(ErrorCode::InvalidRequest, "not understood"),
        json(200, numbered(3, GrantStatus::Revoked)),
    ]);
    let ids: Vec<String> = [1, 2, 3].map(|n| id(n).to_string()).to_vec();
    let line: Vec<&str> = ["grants", "revoke"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    Program::operator(&broker.url(), &line)
        .assert()
        .code(7)
        .stderr(contains(format!("✗ revoke   {} · the broker knows no such grant", ids[0])))
        .stderr(contains(format!("✗ revoke   {} · ", ids[1])))
        .stderr(contains(format!("✓ revoke   {} · revoked", ids[2])))
        .stderr(contains("2 of 3 grants"));
    assert_eq!(broker.lines(), deletes([1, 2, 3]));
}

#[test]
fn revoke_by_agent_ends_every_live_grant_of_the_agent() {
    let broker = ScriptedBroker::start([
        the_agent(),
        page(vec![numbered(1, GrantStatus::Active)], Some(1)),
        page(vec![numbered(2, GrantStatus::RevokeFailing)], None),
        json(200, numbered(1, GrantStatus::Revoked)),
        json(200, numbered(2, GrantStatus::Revoked)),
    ]);
    let line = ["grants", "revoke", "--agent", "test-agent"];
    Program::operator(&broker.url(), &line).assert().code(0);
    assert_eq!(broker.lines()[1], "GET /v2/agentic/jit?limit=200&state=live&agent=test-agent");
    assert_eq!(broker.lines()[3..], deletes([1, 2]));

    let broker = ScriptedBroker::start([the_agent(), page(vec![], None)]);
    Program::operator(&broker.url(), &line).assert().code(0).stderr(contains("has no live grants"));
    let broker = ScriptedBroker::start([problem(ErrorCode::AgentNotFound, "no agent is registered")]);
    Program::operator(&broker.url(), &line).assert().code(2).stderr(contains("no agent is registered"));
}

#[test]
fn without_an_operator_token_no_request_is_sent() {
    let broker = ScriptedBroker::start([problem(ErrorCode::AuthTokenInvalid, "expected an operator token")]);
    let (one, two) = (id(1).to_string(), id(2).to_string());
    Program::operator(&broker.url(), &["grants", "revoke", &one, &two]).assert().code(4);
    assert_eq!(broker.lines().len(), 1, "the second would fare no better");
    let broker = ScriptedBroker::start([]);
    let finished = Program::new(&broker.url(), &["grants", "list"]).assert();
    finished.code(2).stderr(contains("CLOUDANIX_OPERATOR_TOKEN"));
    let neither = Program::operator(&broker.url(), &["grants", "revoke"]).assert();
    neither.code(2);
    let both =
        Program::operator(&broker.url(), &["grants", "revoke", &one, "--agent", "test-agent"]).assert();
    both.code(2);
    assert!(broker.lines().is_empty());
}
