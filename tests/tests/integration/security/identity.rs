//! Attacks on the identity of the caller and of its run; each test is named after the attack.

use std::fs;
use std::thread;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::fixture::{
    AUDIENCE, Agent, Fixture, elevation, job_claims, new_key, registration, registration_of, run_claims,
};
use system_tests::http::{self, Answer};
use system_tests::oidc_provider::Token;

fn mint(fixture: &Fixture, claims: Value) -> String {
    fixture.provider.mint(&Token::with_claims(claims).audience(AUDIENCE)).unwrap()
}

/// Registers an agent for a platform, with `more` at the end of its trust rule.
fn agent_of(fixture: &Fixture, platform: &str, id: &str, claims: &str, more: &str) -> Agent {
    let file = registration_of(platform, id, fixture.provider.issuer(), claims, more);
    Agent { id: id.to_owned(), auth_token: fixture.broker.register(&file) }
}

fn elevate(fixture: &Fixture, agent: &Agent, token: &str) -> Answer {
    let body =
        json!({ "agent_id": agent.id, "oidc_token": token, "policies": ["orders-read"], "ttl": "15m" });
    http::send(elevation(&fixture.broker, agent, &new_key(), &body))
}

fn put_registration(fixture: &Fixture, file: String) -> Answer {
    let put = fixture.broker.request(Method::PUT, "/v2/agents/careless-agent");
    http::send(
        put.bearer_auth(fixture.broker.operator_token())
            .header("content-type", "application/toml")
            .body(file),
    )
}

#[test]
fn an_unknown_issuer_whose_rule_names_no_platform_is_not_registered() {
    let fixture = Fixture::start();
    let good = registration("careless-agent", fixture.provider.issuer());
    for issuer in [
        fixture.provider.issuer(),
        "https://gitlab.example.com",
        "https://app.terraform.io",
        "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0",
    ] {
        let careless = good.replace(fixture.provider.issuer(), issuer).replace("platform = \"gitlab\"\n", "");
        let refused = put_registration(&fixture, careless);
        assert_eq!(refused.outcome(), (422, "invalid_registration"), "{issuer}: {}", refused.text);
        let detail = refused.text_at("/detail");
        assert!(detail.contains("`trust[0].platform`") && detail.contains(issuer), "{detail}");
        assert!(detail.contains("`gitlab`") && detail.contains("`oidc`"), "the choices: {detail}");
    }
}

#[test]
fn a_rule_that_accepts_every_customer_is_not_registered() {
    let fixture = Fixture::start();
    for (platform, claims) in [
        ("oidc", "{}"),
        ("oidc", r#"{ aud = "cloudanix-jit" }"#),
        ("oidc", r#"{ sub = { glob = "?**" } }"#),
        ("github", r#"{ ref = "refs/heads/main" }"#),
        ("github", r#"{ sub = { glob = "?**" } }"#),
        ("github", r#"{ sub = { glob = "{**,x}" } }"#),
        ("github", r#"{ sub = { glob = "repo:*/*:ref:refs/heads/main" } }"#),
        ("github", r#"{ sub = "environment:prod" }"#),
        ("github", r#"{ repository_id = { glob = "[0-9]*" } }"#),
        ("github", r#"{ repository_owner = { glob = "octo-*" } }"#),
        ("github", r#"{ repository_id = "81234567", ref = { glob = "refs/heads/release[!x]*" } }"#),
        ("kubernetes", r#"{ sub = { glob = "system:serviceaccount:*:*" } }"#),
    ] {
        let file = registration_of(platform, "careless-agent", fixture.provider.issuer(), claims, "");
        let refused = put_registration(&fixture, file);
        assert_eq!(refused.outcome(), (422, "invalid_registration"), "{platform} {claims}: {}", refused.text);
    }
}

#[test]
fn a_ci_systems_token_under_a_rule_for_oidc_gets_nothing() {
    let fixture = Fixture::start();
    let mut pull = run_claims("pull");
    pull["event_name"] = json!("pull_request");
    pull["ref"] = json!("refs/pull/7/merge");
    for (id, rule, claims) in [
        ("run-agent", r#"{ repository_id = "81234567" }"#, run_claims("push")),
        ("fork-agent", r#"{ repository_id = "81234567" }"#, pull),
        ("job-agent", r#"{ project_id = "1" }"#, job_claims("job-7")),
    ] {
        let agent = agent_of(&fixture, "oidc", id, rule, "");
        let refused = elevate(&fixture, &agent, &mint(&fixture, claims));
        assert_eq!(refused.outcome(), (403, "claims_not_trusted"), "{id}: {}", refused.text);
        assert!(refused.text_at("/hint").contains("`platform`"), "{}", refused.text);
    }
    assert!(fixture.broker.given().is_empty());
}

#[test]
fn events_of_outsiders_are_refused_unless_the_rule_allows_them() {
    let fixture = Fixture::start();
    let rule = r#"{ repository_id = "81234567", ref = "refs/heads/main" }"#;
    let strict = agent_of(&fixture, "github", "strict-agent", rule, "");
    for (event, exception) in
        [("workflow_run", "workflow-run"), ("issue_comment", "issue-comment"), ("issues", "outsider-events")]
    {
        let token = |number: u32| {
            let mut claims = run_claims(&format!("{event}-{number}"));
            claims["event_name"] = json!(event);
            mint(&fixture, claims)
        };
        let refused = elevate(&fixture, &strict, &token(1));
        assert_eq!(refused.outcome(), (403, "event_refused"), "{event}: {}", refused.text);
        assert!(refused.text_at("/hint").contains(exception), "{}", refused.text);
        let allow = format!("allow = [\"{exception}\"]");
        let lenient = agent_of(&fixture, "github", &format!("{exception}-agent"), rule, &allow);
        assert_eq!(elevate(&fixture, &lenient, &token(2)).status, 201, "{event}");
    }
}

#[test]
fn a_service_connections_token_gets_nothing_unless_the_rule_allows_it() {
    let fixture = Fixture::start();
    let rule = r#"{ sub = "sc://octo/orders/production" }"#;
    let token = |jti: &str| mint(&fixture, json!({ "sub": "sc://octo/orders/production", "jti": jti }));
    for (id, allow) in [("strict-agent", ""), ("fork-agent", "allow = [\"fork-pull-requests\"]")] {
        let agent = agent_of(&fixture, "azure-devops", id, rule, allow);
        let refused = elevate(&fixture, &agent, &token(id));
        assert_eq!(refused.outcome(), (403, "fork_refused"), "{}", refused.text);
        assert!(refused.text_at("/hint").contains("service-connections"), "{}", refused.text);
    }
    let lenient = agent_of(&fixture, "azure-devops", "lenient", rule, "allow = [\"service-connections\"]");
    assert_eq!(elevate(&fixture, &lenient, &token("lenient")).status, 201);
}

/// A fixture whose agent may have one grant per run, with heartbeats.
fn limited_fixture() -> Fixture {
    let mut fixture = Fixture::start();
    let id = "limited-agent";
    let limits = "require_heartbeat = true\nmax_active_grants_per_run = 1\n";
    let file = format!("{limits}{}", registration(id, fixture.provider.issuer()));
    fixture.agent = Agent { id: id.to_owned(), auth_token: fixture.broker.register(&file) };
    fixture
}

/// Sends an elevation as a step that has stolen both credentials of its run.
fn stolen(fixture: &Fixture, job: &str, policy: &str, heartbeat: bool) -> Answer {
    let body = json!({
        "agent_id": fixture.agent.id, "oidc_token": mint(fixture, job_claims(job)), "policies": [policy],
        "ttl": "15m", "heartbeat": heartbeat,
    });
    http::send(fixture.elevation(&new_key(), &body))
}

#[test]
fn a_step_with_both_credentials_gets_no_other_grant_beside_its_own() {
    let fixture = limited_fixture();
    let step = "echo up > up; while [ ! -e down ]; do sleep 0.05; done";
    let mut run =
        fixture.client(&["run", "--policy", "orders-read", "--ttl", "2m", "--", "sh", "-c", step]).start();
    run.line_in("up");
    let own = fixture.broker.given().first().unwrap()["id"].clone();

    let silent = stolen(&fixture, "job-1", "orders-write", false);
    assert_eq!(silent.outcome(), (403, "heartbeat_required"), "{}", silent.text);
    let beside = stolen(&fixture, "job-1", "orders-write", true);
    assert_eq!(beside.outcome(), (403, "too_many_active_grants"), "{}", beside.text);
    let same = stolen(&fixture, "job-1", "orders-read", true);
    assert_eq!(same.outcome(), (403, "too_many_active_grants"), "{}", same.text);
    let given = fixture.broker.given();
    assert!(given.len() == 1 && given.first().unwrap()["id"] == own, "{given:?}");
    let denied = fixture.broker.grants("all").into_iter().filter(|grant| grant["status"] == "denied");
    assert!(denied.count() > 0, "the attempts are on record");
    assert_eq!(stolen(&fixture, "job-2", "orders-read", true).status, 201, "another job is another run");

    fs::write(run.folder().join("down"), "").unwrap();
    run.finish().assert_code(0);
    let next = fixture.client(&["run", "--policy", "orders-write", "--ttl", "2m", "--", "true"]).finish();
    next.assert_code(0);
}

#[test]
fn many_elevations_of_one_run_at_once_get_one_grant() {
    let fixture = limited_fixture();
    let outcomes: Vec<(u16, String)> = thread::scope(|scope| {
        let asked: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    let answer = stolen(&fixture, "job-1", "orders-read", true);
                    let code = if answer.status == 201 { "" } else { answer.text_at("/code") };
                    (answer.status, code.to_owned())
                })
            })
            .collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let refused = (403, "too_many_active_grants".to_owned());
    assert_eq!(outcomes.iter().filter(|outcome| outcome.0 == 201).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == refused).count(), 11, "{outcomes:?}");
    assert_eq!(fixture.broker.given().len(), 1);
}

#[test]
fn elevate_without_a_heartbeat_is_refused_with_a_hint() {
    let fixture = limited_fixture();
    let refused = fixture.client(&["elevate", "--policy", "orders-read", "--ttl", "15m"]).finish();
    refused.assert_code(3);
    assert!(refused.stderr.contains("cloudanix-jit run"), "{}", refused.stderr);
    assert!(fixture.broker.given().is_empty());
}
