//! Agents are registered, receive auth tokens, are disabled, and are recognised by their trust rules.

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::client::Finished;
use system_tests::fixture::{
    AUDIENCE, Agent, Fixture, elevation, job_claims, new_key, registration, registration_of, run_claims,
};
use system_tests::http::{self, Answer};
use system_tests::oidc_provider::Token;
use system_tests::waiting::eventually;

fn apply(fixture: &Fixture, file: &str) -> Finished {
    fixture
        .operator_client(&["agent", "apply", "-f", "agent.toml", "--output", "json"])
        .file("agent.toml", file)
        .finish()
}

fn elevate(fixture: &Fixture, agent: &Agent, oidc_token: Option<&str>) -> Answer {
    let body = json!({
        "agent_id": agent.id, "oidc_token": oidc_token, "policies": ["orders-read"], "ttl": "15m",
    });
    http::send(elevation(&fixture.broker, agent, &new_key(), &body))
}

fn mint(fixture: &Fixture, claims: Value) -> String {
    fixture.provider.mint(&Token::with_claims(claims).audience(AUDIENCE)).unwrap()
}

/// Registers an agent whose trust rule is for another platform.
fn agent_of(fixture: &Fixture, platform: &str, id: &str, claims: &str, more: &str) -> Agent {
    let file = registration_of(platform, id, fixture.provider.issuer(), claims, more);
    Agent { id: id.to_owned(), auth_token: fixture.broker.register(&file) }
}

#[test]
fn an_agent_is_applied_from_a_file_and_its_token_is_shown_once() {
    let fixture = Fixture::start();
    let file = registration("billing-agent", fixture.provider.issuer());
    let first = apply(&fixture, &file);
    first.assert_code(0);
    let applied = first.json();
    assert_eq!((&applied["agent_id"], &applied["outcome"]), (&json!("billing-agent"), &json!("created")));
    let token = applied["auth_token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("cjat_") && token.len() == 73, "a prefix that scanners find, and a checksum");
    let agent = Agent { id: "billing-agent".to_owned(), auth_token: token.clone() };
    assert_eq!(elevate(&fixture, &agent, Some(&fixture.oidc_token())).status, 201);

    let again = apply(&fixture, &file);
    again.assert_code(0);
    assert_eq!((&again.json()["outcome"], &again.json()["auth_token"]), (&json!("unchanged"), &Value::Null));
    let changed = apply(&fixture, &file.replace("\"1h\"", "\"30m\""));
    assert_eq!(
        (&changed.json()["outcome"], &changed.json()["auth_token"]),
        (&json!("updated"), &Value::Null)
    );
    let shown = fixture.operator_client(&["agent", "show", "billing-agent", "--output", "json"]).finish();
    shown.assert_code(0);
    assert_eq!(shown.json()["max_session"], "30m");
    assert_eq!(shown.json()["tokens"][0]["id"], token[5..17]);
    assert!(!shown.stdout.contains(&token) && !shown.stdout.contains(&token[17..]), "{}", shown.stdout);
    let create = ["agent", "apply", "-f", "agent.toml", "--create-only"];
    let refused = fixture.operator_client(&create).file("agent.toml", &file).finish();
    assert_ne!(refused.status.code(), Some(0));
    assert!(refused.stderr.contains("agent_exists"), "{}", refused.stderr);
}

#[test]
fn a_registration_that_lacks_what_it_needs_is_refused_with_the_reason() {
    let fixture = Fixture::start();
    let good = registration("billing-agent", fixture.provider.issuer());
    let cut = |from: &str, to: &str| {
        let (start, end) = (good.find(from).unwrap(), good.find(to).unwrap_or(good.len()));
        format!("{}{}", &good[..start], &good[end..])
    };
    let cases = [
        (cut("[[trust]]", "[boundary]"), "no trust rule"),
        (cut("audience", "claims"), "no audience"),
        (good.replace(AUDIENCE, ""), "no audience"),
        (good[..good.find("[boundary]").unwrap()].to_owned(), "`boundary`: missing"),
        (
            good.replace("\"orders-read\" = \"orders:read\", \"orders-write\" = \"orders:write\"", ""),
            "no permitted policy",
        ),
        (good.replace("{ project_id = \"1\" }", "{}"), "expected at least one of"),
        (good.replace(fixture.provider.issuer(), "http://issuer.example"), "expected an https URL"),
        (good.replace("\"1h\"", "\"for ever\""), "max_session"),
        (good.replace("use_case", "usecase"), "usecase"),
        (good.replace("project_id = \"1\"", "project_id = \"*\""), "compared letter for letter"),
        (good.replace("\"token\"", "\"mainframe\""), "`mainframe` is not a target"),
        ("id = ".to_owned(), "cannot be read"),
    ];
    for (file, reason) in cases {
        let refused = apply(&fixture, &file);
        assert_ne!(refused.status.code(), Some(0), "{file}");
        assert!(refused.stderr.contains(reason), "expected {reason:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("invalid_registration"), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
    assert_eq!(fixture.broker.operator(Method::GET, "/v2/agents/billing-agent").status, 404);
}

#[test]
fn a_rotated_token_works_through_its_overlap_and_a_revoked_one_not_at_all() {
    let fixture = Fixture::start();
    let rotate = |overlap: &[&str]| {
        let arguments = [&["agent", "rotate-token", "orders-agent", "--output", "json"], overlap].concat();
        let rotated = fixture.operator_client(&arguments).finish();
        rotated.assert_code(0);
        Agent {
            auth_token: rotated.json()["auth_token"].as_str().unwrap().to_owned(),
            ..fixture.agent.clone()
        }
    };
    let status = |agent: &Agent| elevate(&fixture, agent, Some(&fixture.oidc_token())).status;

    let second = rotate(&["--overlap", "3s"]);
    assert_eq!(
        (status(&fixture.agent), status(&second)),
        (201, 201),
        "both tokens are valid during the overlap"
    );
    eventually("the end of the overlap", || (status(&fixture.agent) == 401).then_some(()));
    assert_eq!(status(&second), 201);

    let third = rotate(&[]);
    assert_eq!(
        (status(&second), status(&third)),
        (401, 201),
        "without an overlap the old token is invalid at once"
    );
    let id = &third.auth_token[5..17];
    fixture.operator_client(&["agent", "revoke-token", "orders-agent", id]).finish().assert_code(0);
    assert_eq!(elevate(&fixture, &third, Some(&fixture.oidc_token())).outcome(), (401, "auth_token_invalid"));
}

#[test]
fn disabling_an_agent_ends_its_live_grants_and_lets_it_have_no_more() {
    let fixture = Fixture::start();
    let other = fixture.another_agent("billing-agent");
    let tokens: Vec<String> =
        (0..3).map(|_| fixture.elevate().expect(201).text_at("/credentials/token").to_owned()).collect();
    let kept = elevate(&fixture, &other, Some(&mint(&fixture, job_claims("job-2")))).expect(201);
    let disabled =
        fixture.operator_client(&["agent", "disable", "orders-agent", "--output", "json"]).finish();
    disabled.assert_code(0);
    assert_eq!(disabled.json()["grants_ending"], 3);
    eventually("the end of its grants", || (fixture.broker.live().len() == 1).then_some(()));
    assert_eq!(fixture.broker.live()[0]["id"], kept.json["id"], "the grants of another agent stay live");
    for token in tokens {
        assert_eq!(fixture.broker.introspect(&token), json!({"active": false}));
    }
    assert_eq!(fixture.elevate().outcome(), (403, "agent_disabled"));
    let run = fixture.client(&["run", "--policy", "orders-read", "--ttl", "15m", "--", "true"]).finish();
    run.assert_code(125);
    assert!(run.stderr.contains("agent_disabled"), "{}", run.stderr);
    fixture.operator_client(&["agent", "enable", "orders-agent"]).finish().assert_code(0);
    fixture.elevate().expect(201);
}

#[test]
fn auth_token_alone_needs_the_dangerous_flag_and_is_on_the_timeline() {
    let fixture = Fixture::start();
    assert_eq!(elevate(&fixture, &fixture.agent, None).outcome(), (401, "oidc_token_missing"));

    let file = "id = \"old-jenkins\"\nuse_case = \"other\"\nmax_session = \"1h\"\n[dangerous]\nallow_auth_token_only = true\n\
                [boundary]\ntarget = \"token\"\npolicies = { \"orders-read\" = \"orders:read\" }\n";
    let agent = Agent { id: "old-jenkins".to_owned(), auth_token: fixture.broker.register(file) };
    let given = elevate(&fixture, &agent, None).expect(201);
    assert_eq!(given.text_at("/provenance/trust"), "auth-token-only");
    let finished = fixture
        .client(&["run", "--policy", "orders-read", "--ttl", "15m", "--", "true"])
        .env("CLOUDANIX_AGENT_ID", &agent.id)
        .env("CLOUDANIX_AUTH_TOKEN", &agent.auth_token)
        .without("CLOUDANIX_OIDC_TOKEN")
        .finish();
    finished.assert_code(0);
    let of_agent: Vec<Value> =
        fixture.broker.given().into_iter().filter(|grant| grant["agent_id"] == "old-jenkins").collect();
    assert_eq!(of_agent.len(), 2);
    for grant in of_agent {
        let timeline = fixture.broker.timeline(grant["id"].as_str().unwrap());
        let danger =
            timeline["events"].as_array().unwrap().iter().find(|event| event["kind"] == "danger").unwrap();
        assert!(danger["text"].as_str().unwrap().contains("auth token alone"), "{danger}");
    }
    // An invalid OIDC token is refused, even if the registration accepts requests without one.
    let with_rule = format!(
        "{}\n[dangerous]\nallow_auth_token_only = true\n",
        registration("half-agent", fixture.provider.issuer())
    );
    let half = Agent { id: "half-agent".to_owned(), auth_token: fixture.broker.register(&with_rule) };
    assert_eq!(elevate(&fixture, &half, None).status, 201);
    assert_eq!(elevate(&fixture, &half, Some("nonsense")).outcome(), (401, "oidc_token_invalid"));
}

#[test]
fn both_credentials_have_to_lead_to_the_same_agent() {
    let fixture = Fixture::start();
    let file =
        registration_of("gitlab", "billing-agent", fixture.provider.issuer(), r#"{ project_id = "2" }"#, "");
    let other = Agent { id: "billing-agent".to_owned(), auth_token: fixture.broker.register(&file) };
    let token = fixture.oidc_token();
    let crossed = |id: &Agent, auth: &Agent| {
        elevate(&fixture, &Agent { id: id.id.clone(), auth_token: auth.auth_token.clone() }, Some(&token))
            .status
    };
    assert_eq!(crossed(&fixture.agent, &fixture.agent), 201);
    assert_eq!(crossed(&fixture.agent, &other), 401, "its own OIDC token with another's auth token");
    assert_eq!(crossed(&other, &fixture.agent), 401, "its own auth token in another's name");
    assert_eq!(crossed(&other, &other), 403, "another's auth token with an OIDC token that is not theirs");
    assert_eq!(fixture.broker.given().len(), 1);
}

#[test]
fn a_token_that_is_minted_on_demand_is_good_for_one_elevation() {
    let fixture = Fixture::start();
    let agent = agent_of(&fixture, "github", "github-agent", r#"{ repository_id = "81234567" }"#, "");
    let token = mint(&fixture, run_claims("one"));
    let body = json!({"agent_id": agent.id, "oidc_token": token, "policies": ["orders-read"], "ttl": "15m"});
    let key = new_key();
    let first = http::send(elevation(&fixture.broker, &agent, &key, &body)).expect(201);
    let retry = http::send(elevation(&fixture.broker, &agent, &key, &body)).expect(201);
    assert_eq!(first.json["id"], retry.json["id"], "a retry of the same request is not a replay");
    assert_eq!(elevate(&fixture, &agent, Some(&token)).outcome(), (401, "oidc_token_replayed"));
    assert_eq!(elevate(&fixture, &agent, Some(&mint(&fixture, run_claims("two")))).status, 201);
    let other = agent_of(&fixture, "github", "other-agent", r#"{ repository_id = "81234567" }"#, "");
    assert_eq!(
        elevate(&fixture, &other, Some(&token)).outcome(),
        (401, "oidc_token_replayed"),
        "nor for another agent"
    );
    assert_eq!(fixture.broker.given().len(), 2);
}

#[test]
fn a_used_token_stays_used_when_the_broker_is_killed() {
    let mut fixture = Fixture::start();
    let agent = agent_of(&fixture, "github", "github-agent", r#"{ repository_id = "81234567" }"#, "");
    let token = mint(&fixture, run_claims("one"));
    elevate(&fixture, &agent, Some(&token)).expect(201);
    fixture.broker.kill();
    fixture.broker.restart();
    assert_eq!(elevate(&fixture, &agent, Some(&token)).outcome(), (401, "oidc_token_replayed"));
}

#[test]
fn a_job_may_use_its_token_again_and_no_other_job_may() {
    let fixture = Fixture::start();
    let mut claims = job_claims("job-1");
    let token = mint(&fixture, claims.clone());
    assert_eq!(elevate(&fixture, &fixture.agent, Some(&token)).status, 201);
    assert_eq!(elevate(&fixture, &fixture.agent, Some(&token)).status, 201, "the next step of the same job");
    claims["job_id"] = json!("job-2");
    let stolen = mint(&fixture, claims);
    assert_eq!(
        elevate(&fixture, &fixture.agent, Some(&stolen)).outcome(),
        (401, "oidc_token_replayed"),
        "the same jti from another job"
    );
    let other = fixture.another_agent("billing-agent");
    assert_eq!(
        elevate(&fixture, &other, Some(&token)).outcome(),
        (401, "oidc_token_replayed"),
        "the same job as another agent"
    );
}

#[test]
fn forks_and_jobs_rerun_with_ssh_are_refused_unless_the_rule_allows_them_by_name() {
    let fixture = Fixture::start();
    let github = r#"{ repository_id = "81234567" }"#;
    let circle = r#"{ "oidc.circleci.com/project-id" = "p1" }"#;
    let mut pull = run_claims("pull");
    pull["event_name"] = json!("pull_request");
    pull["ref"] = json!("refs/pull/7/merge");
    let mut fork = job_claims("job-9");
    fork["project_id"] = json!("1");
    fork["job_project_id"] = json!("99");
    let rerun = json!({
        "sub": "org/o/project/p1/user/u", "jti": "circle", "oidc.circleci.com/project-id": "p1",
        "oidc.circleci.com/workflow-id": "w", "oidc.circleci.com/job-id": "j", "oidc.circleci.com/ssh-rerun": true,
    });
    for (platform, rule, claims, exception, code) in [
        ("github", github, pull, "fork-pull-requests", "fork_refused"),
        ("gitlab", r#"{ project_id = "1" }"#, fork, "fork-pull-requests", "fork_refused"),
        ("circleci", circle, rerun, "ssh-rerun", "ssh_rerun_refused"),
    ] {
        let strict = agent_of(&fixture, platform, &format!("{platform}-strict"), rule, "");
        let refused = elevate(&fixture, &strict, Some(&mint(&fixture, claims.clone())));
        assert_eq!(refused.outcome(), (403, code), "{platform}: {}", refused.text);
        assert!(refused.text_at("/hint").contains(exception), "the hint names the remedy: {}", refused.text);

        let allowing = format!("allow = [\"{exception}\"]");
        let lenient = agent_of(&fixture, platform, &format!("{platform}-lenient"), rule, &allowing);
        let given = elevate(&fixture, &lenient, Some(&mint(&fixture, claims)));
        assert_eq!(given.status, 201, "{platform}: {}", given.text);
    }
}

#[test]
fn request_outside_the_boundary_is_denied_and_recorded() {
    let fixture = Fixture::start();
    for (field, value, code) in [
        ("policies", json!(["orders-delete"]), "policy_not_permitted"),
        ("policies", json!(["orders-read", "orders-delete"]), "policy_not_permitted"),
        ("ttl", json!("2h"), "ttl_too_long"),
        ("target", json!("aws"), "target_not_permitted"),
    ] {
        let mut body = fixture.body();
        body[field] = value;
        let denied = http::send(fixture.elevation(&new_key(), &body));
        assert_eq!(denied.outcome(), (403, code), "{}", denied.text);
        assert!(denied.text_at("/detail").contains("expected"), "{}", denied.text);
    }
    assert!(fixture.broker.given().is_empty());
    let denied = fixture.broker.grants("all");
    assert_eq!(denied.len(), 4);
    for grant in denied {
        let timeline = fixture.broker.timeline(grant["id"].as_str().unwrap());
        assert!(timeline["events"].as_array().unwrap().iter().any(|event| event["kind"] == "denied"));
    }
    let run = fixture.client(&["elevate", "--policy", "orders-delete", "--ttl", "15m"]).finish();
    run.assert_code(3);
}
