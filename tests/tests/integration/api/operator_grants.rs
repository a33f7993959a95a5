//! Operators list and end grants with the client alone; every other caller is refused.

use reqwest::Method;
use serde_json::Value;
use system_tests::broker::OPERATOR;
use system_tests::client::Client;
use system_tests::fixture::{AUDIENCE, Fixture, elevation, job_claims, new_key};
use system_tests::http;
use system_tests::oidc_provider::Token;

fn listed(fixture: &Fixture, more: &[&str]) -> Vec<Value> {
    let line = [&["grants", "list", "--output", "json"], more].concat();
    let finished = fixture.operator_client(&line).finish();
    finished.assert_code(0);
    finished.json().as_array().unwrap().clone()
}

#[test]
fn an_operator_lists_live_grants_and_ends_all_of_an_agent() {
    let fixture = Fixture::start();
    let other = fixture.another_agent("billing-agent");
    let ids: Vec<String> = (0..3).map(|_| fixture.elevate().expect(201).text_at("/id").to_owned()).collect();
    let mut body = fixture.body();
    body["agent_id"] = other.id.clone().into();
    let token = Token::with_claims(job_claims("job-2")).audience(AUDIENCE);
    body["oidc_token"] = fixture.provider.mint(&token).unwrap().into();
    let theirs = http::send(elevation(&fixture.broker, &other, &new_key(), &body)).expect(201);

    assert_eq!(listed(&fixture, &["--live"]).len(), 4);
    assert_eq!(listed(&fixture, &["--live", "--agent", &fixture.agent.id]).len(), 3);
    let text = fixture.operator_client(&["grants", "list"]).finish().stdout;
    assert!(ids.iter().all(|id| text.contains(id.as_str())), "{text}");

    let one = ["grants", "revoke", &ids[0], &ids[1], "--because", "leaked a key"];
    for _ in 0..2 {
        let finished = fixture.operator_client(&one).finish();
        finished.assert_code(0);
        assert!(finished.stderr.contains(&format!("{} · revoked", ids[1])), "{}", finished.stderr);
    }
    assert_eq!(listed(&fixture, &["--live", "--agent", &fixture.agent.id]).len(), 1);

    let timeline = fixture.broker.timeline(&ids[0]);
    assert_eq!(timeline["grant"]["end_reason"], "ended by operator tests: leaked a key", "{timeline}");

    let all = ["grants", "revoke", "--agent", &fixture.agent.id];
    for _ in 0..2 {
        fixture.operator_client(&all).finish().assert_code(0);
    }
    for (filter, found) in [
        (["--repository", "octo/my-app"], 4),
        (["--repository", "octo/other"], 0),
        (["--commit", "a7c1f24"], 4),
        (["--actor", "octocat"], 4),
        (["--policy", "orders-read"], 4),
        (["--policy", "orders-write"], 0),
        (["--person", "alice"], 0),
        (["--from", "2026-01-01T00:00:00Z"], 4),
        (["--before", "2026-01-01T00:00:00Z"], 0),
    ] {
        assert_eq!(listed(&fixture, &filter).len(), found, "{filter:?}");
    }
    let live = listed(&fixture, &["--live"]);
    assert_eq!(live.iter().map(|grant| &grant["id"]).collect::<Vec<_>>(), [&theirs.json["id"]]);
    assert_eq!(listed(&fixture, &[]).len(), 4);

    let unknown = ["grants", "revoke", "elev-0000000000000000", theirs.text_at("/id")];
    let finished = fixture.operator_client(&unknown).finish();
    finished.assert_code(7);
    assert!(listed(&fixture, &["--live"]).is_empty(), "an unknown grant prevents no other revoke");
}

#[test]
fn the_timeline_tells_two_operators_apart() {
    let fixture = Fixture::start();
    let on_call = fixture.broker.add_operator("on-call");
    let client = |token: &str, line: &[&str]| {
        let client = Client::new(line).env("CLOUDANIX_URL", fixture.broker.url());
        let finished = client.env("CLOUDANIX_OPERATOR_TOKEN", token).finish();
        finished.assert_code(0);
        finished
    };
    let by_both: Vec<(String, &str, &str)> = [
        (fixture.broker.operator_token(), OPERATOR, "ended by operator tests"),
        (&on_call, "on-call", "ended by operator on-call"),
    ]
    .map(|(token, name, text)| {
        let id = fixture.elevate().expect(201).text_at("/id").to_owned();
        client(token, &["grants", "revoke", &id]);
        (id, name, text)
    })
    .into();
    let left = fixture.elevate().expect(201).text_at("/id").to_owned();
    client(&on_call, &["agent", "disable", &fixture.agent.id]);
    let by_disabling = (left, "on-call", "agent disabled by operator on-call");
    for (id, name, text) in by_both.into_iter().chain([by_disabling]) {
        let told = client(&on_call, &["timeline", &id]).stdout;
        assert!(told.lines().any(|line| line.contains("REVOKE ") && line.ends_with(text)), "{told}");
        let path = format!("/v2/agentic/jit/{id}/timeline");
        let timeline = fixture.broker.operator(Method::GET, &path).expect(200).json;
        assert_eq!(timeline["intact"], true, "{timeline}");
        let rows = timeline["events"].as_array().unwrap();
        let row = rows.iter().find(|row| row["kind"] == "revoke").unwrap();
        assert_eq!(row["actor"], serde_json::json!({ "kind": "operator", "name": name }), "{row}");
        assert_eq!(row["source"], "operator", "{row}");
    }
    let log = fixture.broker.log();
    assert!(log.lines().any(|line| line.contains("agent disabled") && line.contains("by=on-call")), "{log}");
}

#[test]
fn only_operators_list_or_revoke_grants_of_others() {
    let fixture = Fixture::start();
    let other = fixture.another_agent("billing-agent");
    let id = fixture.elevate().expect(201).text_at("/id").to_owned();
    let lines: [&[&str]; 3] = [
        &["grants", "list"],
        &["grants", "revoke", &id],
        &["grants", "revoke", "--agent", &fixture.agent.id],
    ];
    for line in lines {
        let with = |token: &str| {
            let client = Client::new(line).env("CLOUDANIX_URL", fixture.broker.url());
            client.env("CLOUDANIX_OPERATOR_TOKEN", token).finish()
        };
        Client::new(line).env("CLOUDANIX_URL", fixture.broker.url()).finish().assert_code(2);
        with(fixture.broker.introspection_token()).assert_code(4);
        let theirs = with(&other.auth_token);
        assert!(!theirs.status.success(), "{line:?}: {}", theirs.stderr);
        assert!(!theirs.stdout.contains(&id), "{line:?}: {}", theirs.stdout);
    }
    assert_eq!(fixture.broker.live().len(), 1);
}
