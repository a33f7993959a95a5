//! The sample in `examples/rules` on a broker: each situation is refused by the rule that is written for it.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::fixture::{self, AUDIENCE, new_key};
use system_tests::http;
use system_tests::oidc_provider::{OidcProvider, Token};

use super::{post, texts};

struct Job {
    provider: OidcProvider,
    broker: Broker,
    auth_token: String,
}

/// An agent of the group `reports`, for runs of GitHub Actions.
fn job() -> Job {
    let (provider, broker) = (OidcProvider::start().unwrap(), Broker::start());
    let claims = r#"{ repository_id = "81234567" }"#;
    let allow = r#"allow = ["fork-pull-requests"]"#;
    let registration = fixture::registration_of("github", "orders-agent", provider.issuer(), claims, allow);
    let auth_token = broker.register(&format!("groups = [\"reports\"]\n{registration}"));
    Job { provider, broker, auth_token }
}

impl Job {
    fn elevate(&self, jti: &str, change: impl FnOnce(&mut Value)) -> http::Answer {
        let mut claims = fixture::run_claims(jti);
        claims["runner_environment"] = json!("github-hosted");
        change(&mut claims);
        let token = self.provider.mint(&Token::with_claims(claims).audience(AUDIENCE)).unwrap();
        let body = json!({
            "agent_id": "orders-agent", "oidc_token": token, "policies": ["orders-read"], "ttl": "5m",
        });
        let request = self.broker.request(Method::POST, "/v2/agentic/jit");
        http::send(request.bearer_auth(&self.auth_token).header("Idempotency-Key", new_key()).json(&body))
    }
}

#[test]
fn the_sample_is_applied_with_its_cases_and_decides() {
    let job = job();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/rules");
    let (files, cases) = (texts(&folder, "cedar"), texts(&folder, "toml"));
    let applied = post(&job.broker, "/v2/rules", &json!({"files": files, "cases": cases, "role": "active"}));
    let applied = applied.expect(200).json;
    assert!(applied["cases"].as_u64().unwrap() > 15, "{applied}");

    let granted = job.elevate("1", |_| {}).expect(201);
    let id = granted.text_at("/id");
    let explained = job.broker.operator(Method::GET, &format!("/v2/agentic/jit/{id}/decisions")).expect(200);
    let decision = &explained.json["decisions"][0];
    assert_eq!(decision["enforced"]["verdict"]["rules"], json!(["outside-production"]));
    assert_eq!(decision["facts"]["identity"]["claims"]["runner_environment"], "github-hosted");
    assert!(decision["facts"]["identity"]["claims"].get("jti").is_none(), "{decision}");
    assert_eq!(decision["facts"]["observed"]["address"], "127.0.0.1");

    let refused = job.elevate("2", |claims| claims["event_name"] = json!("pull_request"));
    assert_eq!(refused.outcome(), (403, "rule_denied"));
    assert!(refused.text_at("/detail").contains("`no-pull-requests`"), "{}", refused.text);
    assert!(refused.text_at("/hint").contains("push to a branch"), "{}", refused.text);
}
