//! What happens to live grants when rules or posture change, and what an operator sees of it.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::fixture::Fixture;
use system_tests::http;
use system_tests::waiting::eventually;
use system_tests::{programs, time};

use super::{PERMIT, SCANNED, SHORT, apply, post};

fn status(fixture: &Fixture, id: &str) -> String {
    let grant = fixture.broker.operator(Method::GET, &format!("/v2/agentic/jit/{id}")).expect(200);
    grant.text_at("/status").to_owned()
}

fn events(fixture: &Fixture, id: &str, kind: &str) -> Vec<Value> {
    let mut events = fixture.broker.timeline(id)["events"].as_array().unwrap().clone();
    events.retain(|event| event["kind"] == kind);
    events
}

#[test]
fn a_grant_that_new_rules_refuse_ends_and_another_stays() {
    let fixture = Fixture::start();
    apply(&fixture.broker, PERMIT);
    let long = fixture.elevate().expect(201).text_at("/id").to_owned();
    let mut body = fixture.body();
    body["ttl"] = json!("5m");
    let key = system_tests::fixture::new_key();
    let short = http::send(fixture.elevation(&key, &body)).expect(201).text_at("/id").to_owned();
    let applied = apply(&fixture.broker, SHORT);
    eventually("the end of the long grant", || (status(&fixture, &long) == "revoked").then_some(()));
    let end = events(&fixture, &long, "revoke");
    assert_eq!(end[0]["text"], "context changed · refused by short");
    let again = eventually("the decision about the short grant", || {
        events(&fixture, &short, "re_evaluation").into_iter().next()
    });
    assert_eq!(again["data"]["rules"], applied["digest"]);
    assert_eq!(status(&fixture, &short), "active");
}

#[test]
fn a_rollout_and_its_rollback_are_on_the_timeline_of_the_grants_of_its_agents() {
    let fixture = Fixture::start();
    let active = apply(&fixture.broker, PERMIT)["digest"].clone();
    let mut body = fixture.body();
    body["ttl"] = json!("5m");
    let grant = http::send(fixture.elevation(&system_tests::fixture::new_key(), &body)).expect(201);
    let id = grant.text_at("/id");
    let candidate = json!({"files": {"rules.cedar": SHORT}, "role": "candidate"});
    let candidate = post(&fixture.broker, "/v2/rules", &candidate).expect(200).json["digest"].clone();
    let decided_by = |count: usize| {
        eventually("the next decision", || {
            let events = events(&fixture, id, "re_evaluation");
            (events.len() == count).then(|| events[count - 1]["data"]["rules"].clone())
        })
    };
    post(&fixture.broker, "/v2/rules/rollout", &json!({"agents": ["orders-*"]})).expect(200);
    assert_eq!(decided_by(1), candidate);
    fixture.broker.operator(Method::POST, "/v2/rules/rollback").expect(200);
    assert_eq!(decided_by(2), active);
}

#[test]
fn a_bad_posture_ends_the_grants_of_its_subject_and_of_no_other() {
    let fixture = Fixture::start();
    let made =
        Command::new(programs::broker()).args(["posture-token", "--name", "scanner"]).output().unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let (token, entry) = made.trim().split_once("\n\n").unwrap();
    let token = token.trim_start_matches("token").trim().to_owned();
    fixture.broker.reconfigure(|text| format!("{text}\n{entry}\n"));
    fixture.broker.hang_up();
    let put = |subject: &str, ok: bool| {
        let path = format!("/v2/posture/scanner/{}", subject.replace('/', "%2F"));
        let report = json!({"ok": ok, "as_of": time::in_millis(u64::from(!ok))});
        http::send(fixture.broker.request(Method::PUT, &path).bearer_auth(&token).json(&report))
    };
    eventually("the source in the configuration", || {
        (put("repository/octo/my-app", true).status == 200).then_some(())
    });
    apply(&fixture.broker, SCANNED);
    let id = fixture.elevate().expect(201).text_at("/id").to_owned();
    put("repository/octo/another", false).expect(200);
    put("repository/octo/my-app", true).expect(200);
    assert_eq!(status(&fixture, &id), "active");
    put("repository/octo/my-app", false).expect(200);
    eventually("the end of the grant", || (status(&fixture, &id) == "revoked").then_some(()));
    assert_eq!(fixture.elevate().outcome(), (403, "rule_denied"));
    let listed = fixture.broker.operator(Method::GET, "/v2/posture").expect(200).json;
    assert_eq!(listed["postures"].as_array().unwrap().len(), 2, "{listed}");
    let stranger = http::send(
        fixture
            .broker
            .request(Method::PUT, "/v2/posture/scanner/agent%2Forders-agent")
            .bearer_auth(fixture.broker.operator_token())
            .json(&json!({"ok": true, "as_of": time::in_millis(0)})),
    );
    assert_eq!(stranger.outcome(), (401, "auth_token_invalid"), "an operator is no source");
}
