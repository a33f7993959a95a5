//! `doctor` finds each problem and prints its remedy.

use predicates::str::contains;
use protocol::{Decision, ErrorCode};

use crate::program::{Printed as _, Program, oidc_token};
use crate::scripted::{Reply, ScriptedBroker, json, problem, unused_address};

fn ready() -> Reply {
    Reply::Answer { status: 200, headers: Vec::new(), body: String::new() }
}

fn known() -> Reply {
    problem(ErrorCode::GrantNotFound, "no such grant")
}

#[test]
fn a_complete_set_up_passes_every_check_and_the_dry_run() {
    let decision = Decision {
        agent_id: "test-agent".parse().unwrap(),
        policies: vec!["orders-read".parse().unwrap()],
        target: "token".to_owned(),
        ttl: "15m".parse().unwrap(),
        max_session: "1h".parse().unwrap(),
        checks: vec!["boundary OK · within agent permitted policies".to_owned()],
    };
    let broker = ScriptedBroker::start([ready(), known(), json(200, decision)]);
    let line = ["doctor", "--policy", "orders-read", "--ttl", "15m"];
    let finished = Program::new(&broker.url(), &line).assert().code(0);
    let report = finished.said().replace(&broker.address.port().to_string(), "PORT");
    insta::assert_snapshot!("doctor-fine", report);
    assert_eq!(
        broker.lines(),
        ["GET /readyz", "GET /v2/agentic/jit/elev-0000000000000000", "POST /v2/agentic/jit?dry_run=true"]
    );
}

#[test]
fn every_missing_setting_is_reported_at_once() {
    let finished = Program::bare(&["doctor"]).assert().code(1);
    insta::assert_snapshot!("doctor-nothing-set", finished.said());
}

#[test]
fn a_broker_that_does_not_run_is_found_at_its_port() {
    Program::new(&unused_address(), &["doctor"])
        .assert()
        .code(1)
        .stderr(contains("✗ tcp"))
        .stderr(contains("check that the broker runs"));
}

#[test]
fn a_broker_that_is_not_ready_fails_the_check() {
    let broker =
        ScriptedBroker::start([Reply::Answer { status: 404, headers: Vec::new(), body: String::new() }]);
    Program::new(&broker.url(), &["doctor"])
        .assert()
        .code(1)
        .stderr(contains("expected HTTP 200, found 404"));
}

#[test]
fn a_clock_difference_is_found_from_the_answers_date() {
    let broker = ScriptedBroker::start([ready().with("date", "Sun, 06 Nov 1994 08:49:37 GMT"), known()]);
    Program::new(&broker.url(), &["doctor"])
        .assert()
        .code(1)
        .stderr(contains("✗ clock"))
        .stderr(contains("there 1994-11-06T08:49:37.000Z"));
}

#[test]
fn a_token_for_another_audience_is_found_before_the_broker_refuses_it() {
    let broker = ScriptedBroker::start([ready(), known()]);
    let claims = serde_json::json!({"iss": "https://issuer.example", "aud": "sts.example", "exp": 253_402_300_000_i64});
    Program::new(&broker.url(), &["doctor"])
        .env("CLOUDANIX_OIDC_TOKEN", oidc_token(&claims))
        .assert()
        .code(1)
        .stderr(contains("✗ oidc"))
        .stderr(contains("`sts.example`"));
}

#[test]
fn a_refused_decision_is_printed_with_the_brokers_hint() {
    let refused = problem(ErrorCode::PolicyNotPermitted, "expected one of `orders-read`, found `admin`");
    let broker = ScriptedBroker::start([ready(), known(), refused]);
    Program::new(&broker.url(), &["doctor", "--policy", "admin", "--ttl", "15m"])
        .assert()
        .code(1)
        .stderr(contains("✗ decision"))
        .stderr(contains("found `admin`"))
        .stderr(contains("a hint of the broker"));
}

#[test]
fn an_unknown_auth_token_is_found() {
    let broker = ScriptedBroker::start([ready(), problem(ErrorCode::AuthTokenInvalid, "not accepted")]);
    Program::new(&broker.url(), &["doctor"]).assert().code(1).stderr(contains("✗ auth"));
}
