//! Denied requests neither fill the database nor use up the rate limit of permitted requests.

use std::time::Instant;

use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::fixture::{AUDIENCE, Agent, Fixture, elevation, new_key, registration_of, run_claims};
use system_tests::http::{self, Answer};
use system_tests::oidc_provider::Token;

/// A fixture with the default rate limit, of which 60 requests a minute may be denied.
fn fixture() -> Fixture {
    Fixture::with(Broker::with_pace(600))
}

fn denied(fixture: &Fixture) -> Vec<Value> {
    let mut grants = fixture.broker.grants("ended");
    grants.retain(|grant| grant["status"] == "denied");
    grants
}

fn count(answers: &[Answer], outcome: (u16, &str)) -> usize {
    answers.iter().filter(|answer| answer.outcome() == outcome).count()
}

/// The number of requests that a limit of 60 a minute admits since `began`.
fn budget(began: Instant) -> usize {
    60 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1
}

#[test]
fn the_auth_token_alone_does_not_keep_its_agent_from_elevating() {
    let fixture = fixture();
    let mut body = fixture.body();
    body["oidc_token"] = json!("garbage");
    let began = Instant::now();
    let answers: Vec<Answer> = (0..700).map(|_| http::send(fixture.elevation(&new_key(), &body))).collect();
    fixture.elevate().expect(201);

    let heard = count(&answers, (401, "oidc_token_invalid"));
    assert!(heard <= budget(began), "{heard} were looked at");
    assert_eq!(heard + count(&answers, (429, "rate_limited")), 700);
    let refused = answers.last().unwrap();
    assert!(refused.headers.iter().any(|(name, _)| name == "retry-after"), "{refused:?}");
}

#[test]
fn the_auth_token_alone_does_not_use_up_what_refusals_may_cost() {
    let fixture = fixture();
    let mut garbage = fixture.body();
    garbage["oidc_token"] = json!("garbage");
    while http::send(fixture.elevation(&new_key(), &garbage)).status != 429 {}
    let mut outside = fixture.body();
    outside["policies"] = json!(["billing-admin"]);
    http::send(fixture.elevation(&new_key(), &outside)).expect(403);
    assert_eq!(denied(&fixture).len(), 1, "the attack hides a refusal");
}

#[test]
fn a_request_that_is_refused_again_and_again_is_one_row() {
    let fixture = fixture();
    let mut body = fixture.body();
    body["policies"] = json!(["billing-admin"]);
    let names = ["repository", "workflow", "run", "job", "step", "commit", "ref", "actor", "url"];
    body["claimed"] = names.iter().map(|name| ((*name).to_owned(), json!("x".repeat(512)))).collect();
    let began = Instant::now();
    let answers: Vec<Answer> = (0..400).map(|_| http::send(fixture.elevation(&new_key(), &body))).collect();
    fixture.elevate().expect(201);

    let refused = count(&answers, (403, "policy_not_permitted"));
    assert!((60..=budget(began)).contains(&refused), "{refused}");
    assert_eq!(refused + count(&answers, (429, "rate_limited")), 400);
    let recorded = denied(&fixture);
    assert_eq!(recorded.len(), 1, "{recorded:#?}");
    assert_eq!(recorded[0]["denials"]["count"], refused);
    let claimed = recorded[0]["provenance"]["claimed"].as_object().unwrap();
    let kept: usize = claimed.values().map(|fact| fact.as_str().unwrap().len()).sum();
    assert_eq!(kept, 1024);
    let timeline = fixture.broker.timeline(recorded[0]["id"].as_str().unwrap());
    assert_eq!(timeline["events"].as_array().unwrap().len(), 2);
}

#[test]
fn one_single_use_token_is_refused_once() {
    let fixture = fixture();
    let issuer = fixture.provider.issuer();
    let claims = r#"{ repository_id = "81234567" }"#;
    let auth_token = fixture.broker.register(&registration_of("github", "release-agent", issuer, claims, ""));
    let agent = Agent { id: "release-agent".to_owned(), auth_token };
    let token = |jti| fixture.provider.mint(&Token::with_claims(run_claims(jti)).audience(AUDIENCE)).unwrap();
    let first = token("first");
    let ask = |key: &str, token: &str, policy: &str, reason: &str| {
        let body = json!({
            "agent_id": agent.id, "oidc_token": token, "policies": [policy], "ttl": "15m", "reason": reason,
        });
        http::send(elevation(&fixture.broker, &agent, key, &body))
    };
    let key = new_key();
    ask(&key, &first, "billing-admin", "0").expect(403);
    ask(&key, &first, "billing-admin", "0").expect(403);
    for n in 1..20 {
        let answer = ask(&new_key(), &first, "billing-admin", &n.to_string());
        assert_eq!(answer.outcome(), (401, "oidc_token_replayed"));
    }
    assert_eq!(ask(&new_key(), &first, "orders-read", "").outcome(), (401, "oidc_token_replayed"));
    assert_eq!(denied(&fixture).len(), 1);
    ask(&new_key(), &token("second"), "orders-read", "").expect(201);
}

#[test]
fn a_target_of_any_length_is_not_recorded() {
    let fixture = fixture();
    let mut body = fixture.body();
    body["target"] = json!("x".repeat(60_000));
    assert_eq!(http::send(fixture.elevation(&new_key(), &body)).outcome(), (422, "invalid_request"));
    assert!(denied(&fixture).is_empty());
}

#[test]
fn a_grant_that_is_retried_for_ever_has_a_timeline_that_ends() {
    let fixture = Fixture::start();
    let (key, body) = (new_key(), fixture.body());
    let grant = http::send(fixture.elevation(&key, &body)).expect(201);
    for _ in 0..50 {
        let again = http::send(fixture.elevation(&key, &body)).expect(201);
        assert_eq!(again.json["id"], grant.json["id"]);
    }
    let timeline = fixture.broker.timeline(grant.text_at("/id"));
    let rows = timeline["events"].as_array().unwrap();
    let retries: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "retry").collect();
    assert_eq!(retries.len(), 20);
    let last = retries.last().unwrap()["text"].as_str().unwrap();
    assert!(last.contains("further retries are not recorded"), "{last}");
}
