//! The broker refuses every malformed request with the same form of error, with or without credentials.

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::fixture::{Fixture, new_key};
use system_tests::http;

#[test]
fn malformed_requests_are_refused_as_malformed() {
    let fixture = Fixture::start();
    let elevate = |key: &str, body: &str| {
        fixture
            .broker
            .request(Method::POST, "/v2/agentic/jit")
            .bearer_auth(&fixture.agent.auth_token)
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    let good = fixture.body();
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body.to_string()
    };
    for body in [
        "".to_owned(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        "\u{0}".to_owned(),
        "[".repeat(60_000),
        with("extra", json!(1)),
        with("ttl", json!("0s")),
        with("ttl", json!(900)),
        with("ttl", json!("-5m")),
        with("policies", json!([])),
        with("policies", json!(["a b"])),
        with("policies", json!(vec!["orders-read"; 11])),
        with("agent_id", json!("../orders-agent")),
        with("reason", json!("x".repeat(513))),
        with("claimed", json!({"run": "x".repeat(600)})),
    ] {
        let answer = http::send(elevate(&new_key(), &body));
        assert_eq!(
            answer.outcome(),
            (422, "invalid_request"),
            "{} {}",
            &body[..body.len().min(80)],
            answer.text
        );
        assert!(answer.text.len() < 2000, "{}", answer.text.len());
    }
    for key in ["", "short", "ZZZZ0000000000000000000000000000", "0000000000000000000000000000000000"] {
        assert_eq!(http::send(elevate(key, &good.to_string())).outcome(), (422, "invalid_request"), "{key}");
    }
    let twice = elevate(&new_key(), &good.to_string()).header("idempotency-key", new_key());
    assert_eq!(http::send(twice).outcome(), (422, "invalid_request"), "two idempotency keys are invalid");
    let twice = fixture.elevation(&new_key(), &good).header("authorization", "Bearer nonsense");
    assert_eq!(http::send(twice).outcome(), (401, "auth_token_invalid"), "two tokens are invalid");
    let plain = fixture
        .broker
        .request(Method::POST, "/v2/agentic/jit")
        .bearer_auth(&fixture.agent.auth_token)
        .header("idempotency-key", new_key())
        .header("content-type", "text/plain")
        .body(good.to_string());
    assert_eq!(http::send(plain).outcome(), (415, "unsupported_media_type"));
    for path in ["/v2/agentic/jit/elev-1", "/v2/agentic/jit/%00", "/v2/agentic/jit/elev-0000000000000000'--"]
    {
        let answer =
            http::send(fixture.broker.request(Method::GET, path).bearer_auth(&fixture.agent.auth_token));
        assert_eq!(answer.outcome(), (422, "invalid_request"), "{path}");
    }
    for path in ["/", "/v2", "/v2/agentic/jit/", "/admin", "//v2/agents"] {
        assert_eq!(http::send(fixture.broker.request(Method::GET, path)).status, 404, "{path}");
    }
    for (method, path) in [
        ("PATCH", "/v2/agentic/jit"),
        ("TRACE", "/healthz"),
        ("FETCH", "/v2/agents"),
        ("PUT", "/v2/introspect"),
    ] {
        let answer = http::send(fixture.broker.request(method.parse().unwrap(), path));
        assert_eq!(answer.outcome(), (405, "method_not_allowed"), "{method} {path}");
    }
    assert!(fixture.broker.given().is_empty());
    fixture.elevate().expect(201);
}
