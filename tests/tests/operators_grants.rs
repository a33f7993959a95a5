//! Does an operator find and end grants with nothing but the client, and is every other caller refused?
#![expect(clippy::unwrap_used, reason = "in a test, whatever is not as expected is a failure")]

use reqwest::Method;
use serde_json::Value;
use system_tests::broker::OPERATOR;
use system_tests::client::Client;
use system_tests::http;
use system_tests::oidc_provider::Token;
use system_tests::scene::{AUDIENCE, Scene, elevation, job_claims, new_key};

fn listed(scene: &Scene, more: &[&str]) -> Vec<Value> {
    let line = [&["grants", "list", "--output", "json"], more].concat();
    let finished = scene.operator_client(&line).finish();
    finished.assert_code(0);
    finished.json().as_array().unwrap().clone()
}

#[test]
fn an_operator_lists_live_grants_and_ends_all_of_an_agent() {
    let scene = Scene::set();
    let other = scene.another_agent("billing-agent");
    let ids: Vec<String> = (0..3).map(|_| scene.elevate().expect(201).text_at("/id").to_owned()).collect();
    let mut body = scene.body();
    body["agent_id"] = other.id.clone().into();
    let token = Token::with_claims(job_claims("job-2")).audience(AUDIENCE);
    body["oidc_token"] = scene.provider.mint(&token).unwrap().into();
    let theirs = http::send(elevation(&scene.broker, &other, &new_key(), &body)).expect(201);

    assert_eq!(listed(&scene, &["--live"]).len(), 4);
    assert_eq!(listed(&scene, &["--live", "--agent", &scene.agent.id]).len(), 3);
    let text = scene.operator_client(&["grants", "list"]).finish().stdout;
    assert!(ids.iter().all(|id| text.contains(id.as_str())), "{text}");

    let one = ["grants", "revoke", &ids[0], &ids[1]];
    for _ in 0..2 {
        let finished = scene.operator_client(&one).finish();
        finished.assert_code(0);
        assert!(finished.stderr.contains(&format!("{} · revoked", ids[1])), "{}", finished.stderr);
    }
    assert_eq!(listed(&scene, &["--live", "--agent", &scene.agent.id]).len(), 1);

    let all = ["grants", "revoke", "--agent", &scene.agent.id];
    for _ in 0..2 {
        scene.operator_client(&all).finish().assert_code(0);
    }
    let live = listed(&scene, &["--live"]);
    assert_eq!(live.iter().map(|grant| &grant["id"]).collect::<Vec<_>>(), [&theirs.json["id"]]);
    assert_eq!(listed(&scene, &[]).len(), 4);

    let unknown = ["grants", "revoke", "elev-0000000000000000", theirs.text_at("/id")];
    let finished = scene.operator_client(&unknown).finish();
    finished.assert_code(7);
    assert!(listed(&scene, &["--live"]).is_empty(), "one that is not known keeps no other from ending");
}

#[test]
fn the_timeline_tells_two_operators_apart() {
    let scene = Scene::set();
    let on_call = scene.broker.add_operator("on-call");
    let client = |token: &str, line: &[&str]| {
        let client = Client::new(line).env("CLOUDANIX_URL", scene.broker.url());
        let finished = client.env("CLOUDANIX_OPERATOR_TOKEN", token).finish();
        finished.assert_code(0);
        finished
    };
    let by_both: Vec<(String, &str, &str)> = [
        (scene.broker.operator_token(), OPERATOR, "ended by operator tests"),
        (&on_call, "on-call", "ended by operator on-call"),
    ]
    .map(|(token, name, text)| {
        let id = scene.elevate().expect(201).text_at("/id").to_owned();
        client(token, &["grants", "revoke", &id]);
        (id, name, text)
    })
    .into();
    let left = scene.elevate().expect(201).text_at("/id").to_owned();
    client(&on_call, &["agent", "disable", &scene.agent.id]);
    let by_disabling = (left, "on-call", "agent disabled by operator on-call");
    for (id, name, text) in by_both.into_iter().chain([by_disabling]) {
        let told = client(&on_call, &["timeline", &id]).stdout;
        assert!(told.lines().any(|line| line.contains("REVOKE ") && line.ends_with(text)), "{told}");
        let path = format!("/v2/agentic/jit/{id}/timeline");
        let timeline = scene.broker.operator(Method::GET, &path).expect(200).json;
        assert_eq!(timeline["intact"], true, "{timeline}");
        let rows = timeline["events"].as_array().unwrap();
        let row = rows.iter().find(|row| row["kind"] == "revoke").unwrap();
        assert_eq!((&row["data"]["by"], &row["source"]), (&name.into(), &"operator".into()), "{row}");
    }
    let log = scene.broker.log();
    assert!(log.lines().any(|line| line.contains("agent disabled") && line.contains("by=on-call")), "{log}");
}

#[test]
fn nobody_else_lists_or_ends_the_grants_of_others() {
    let scene = Scene::set();
    let other = scene.another_agent("billing-agent");
    let id = scene.elevate().expect(201).text_at("/id").to_owned();
    let lines: [&[&str]; 3] =
        [&["grants", "list"], &["grants", "revoke", &id], &["grants", "revoke", "--agent", &scene.agent.id]];
    for line in lines {
        let with = |token: &str| {
            let client = Client::new(line).env("CLOUDANIX_URL", scene.broker.url());
            client.env("CLOUDANIX_OPERATOR_TOKEN", token).finish()
        };
        Client::new(line).env("CLOUDANIX_URL", scene.broker.url()).finish().assert_code(2);
        with(scene.broker.introspection_token()).assert_code(4);
        let theirs = with(&other.auth_token);
        assert!(!theirs.status.success(), "{line:?}: {}", theirs.stderr);
        assert!(!theirs.stdout.contains(&id), "{line:?}: {}", theirs.stdout);
    }
    assert_eq!(scene.broker.live().len(), 1);
}
