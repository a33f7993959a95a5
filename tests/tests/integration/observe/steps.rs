//! `run --observe` against a real broker: decided and recorded, and never a grant.

use serde_json::{Value, json};
use system_tests::client::Finished;
use system_tests::fixture::{AUDIENCE, Fixture, job_claims};
use system_tests::oidc_provider::{OidcProvider, Token};

/// Sends a datagram as an SDK does; for `bash`.
const CALLS: &str = r#"send() { printf '{"Version":1,"ClientId":"%s","Type":"ApiCall","Service":"%s","Api":"%s","FinalHttpStatusCode":%s}' "$AWS_CSM_CLIENT_ID" "$@" >/dev/udp/$AWS_CSM_HOST/$AWS_CSM_PORT; }
send ECS UpdateService 200; send ECS UpdateService 200; send S3 DeleteObject 403; exit 3"#;

fn observe(fixture: &Fixture, policy: &str) -> Finished {
    let line = ["run", "--observe", "--policy", policy, "--ttl", "15m", "--", "bash", "-c", CALLS];
    fixture.client(&line).finish()
}

fn report(fixture: &Fixture) -> Value {
    let line = ["observations", "report", "--since", "1h", "--output", "json"];
    let finished = fixture.operator_client(&line).finish();
    assert!(finished.status.success(), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn observed_steps_are_in_the_report_and_get_no_grant() {
    let fixture = Fixture::start();
    let finished = observe(&fixture, "orders-read");
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stderr);
    assert!(finished.stderr.starts_with("→ observe  would be granted · obs-"), "{}", finished.stderr);
    let first = report(&fixture);
    let agent = &first["agents"][0];
    assert_eq!((&agent["agent_id"], &agent["ready"]), (&json!("orders-agent"), &json!(true)));
    let used = &agent["used"][0];
    assert_eq!(used["policies"], json!(["orders-read"]));
    assert_eq!(used["actions"], json!({"ecs:UpdateService": 2, "s3:DeleteObject": 1}));
    assert_eq!(used["suggested"], json!(["ecs:UpdateService"]), "what failed needs no permission");

    let finished = observe(&fixture, "orders-delete");
    assert_eq!(finished.status.code(), Some(3));
    assert!(finished.stderr.starts_with("→ observe  would be denied · "), "{}", finished.stderr);
    let second = report(&fixture);
    let agent = &second["agents"][0];
    assert_eq!((&agent["observations"], &agent["ready"]), (&json!(2), &json!(false)));
    assert_eq!(agent["reasons"].as_object().unwrap().len(), 1, "{agent}");
    assert_eq!(fixture.broker.grants("all"), Vec::<Value>::new());
}

#[test]
fn a_broker_that_was_killed_is_one_line_beside_the_step() {
    let mut fixture = Fixture::start();
    fixture.broker.kill();
    let finished = observe(&fixture, "orders-read");
    assert_eq!(finished.status.code(), Some(3));
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.starts_with("! observe  not recorded: "), "{}", finished.stderr);
}

#[test]
fn a_step_whose_identity_is_refused_is_in_the_report_with_the_reason() {
    let fixture = Fixture::start();
    let mut claims = job_claims("job-of-a-fork");
    claims["project_id"] = json!("2");
    let foreign = fixture.provider.mint(&Token::with_claims(claims).audience(AUDIENCE)).unwrap();
    let line = ["run", "--observe", "--policy", "orders-read", "--", "true"];
    let unknown = OidcProvider::start().unwrap();
    let unknown = unknown.mint(&Token::with_claims(job_claims("job-1")).audience(AUDIENCE)).unwrap();
    for token in [foreign, unknown] {
        let finished = fixture.client(&line).env("CLOUDANIX_OIDC_TOKEN", token).finish();
        assert!(finished.assert_code(0).stderr.contains("would be denied"), "{}", finished.stderr);
    }
    observe(&fixture, "orders-read").assert_code(3);
    let report = report(&fixture);
    let agent = &report["agents"][0];
    assert_eq!((&agent["observations"], &agent["ready"]), (&json!(3), &json!(false)), "{report}");
    assert_eq!(agent["outcomes"], json!({"allow": 1, "deny": 2}));
    let reasons: Vec<&String> = agent["reasons"].as_object().unwrap().keys().collect();
    assert!(reasons.iter().any(|reason| reason.contains("project_id")), "{reasons:?}");
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(fixture.broker.given().is_empty());

    let forged = protocol::AuthToken::from_random([7; 6], [9; 24]).secret().reveal().to_owned();
    // Without an agent there is nothing to record it for.
    let stranger = fixture.client(&line).env("CLOUDANIX_AUTH_TOKEN", forged).finish();
    assert!(stranger.assert_code(0).stderr.contains("not recorded"), "{}", stranger.stderr);
    assert_eq!(self::report(&fixture)["agents"][0]["observations"], 3);
}
