//! An address that exceeds its rate limit is refused; clients behind it can still revoke.

use reqwest::Method;
use system_tests::broker::Broker;
use system_tests::fixture::{Fixture, new_key};
use system_tests::http::{self, Answer};

const PER_MINUTE: usize = 30;

fn limited(more: &str) -> Fixture {
    let limits = format!("requests_per_minute_per_address = {PER_MINUTE}\n{more}");
    Fixture::with(Broker::launched_by(&[], &limits))
}

fn keys_for(fixture: &Fixture, client: &str) -> Answer {
    let request = fixture.broker.request(Method::GET, "/.well-known/jwks.json");
    http::send(request.header("x-forwarded-for", client))
}

/// Sends requests until one is refused.
#[track_caller]
fn exhaust(fixture: &Fixture, client: impl Fn(usize) -> String) -> Answer {
    let refused =
        (0..PER_MINUTE * 10).map(|n| keys_for(fixture, &client(n))).find(|answer| answer.status == 429);
    refused.expect("a refusal, sooner or later")
}

#[test]
fn revokes_heartbeats_and_probes_pass_the_address_limit() {
    let fixture = limited("");
    let key = new_key();
    let grant = http::send(fixture.elevation(&key, &fixture.body())).expect(201).text_at("/id").to_owned();
    let refused = exhaust(&fixture, |_| String::new());
    assert_eq!(refused.outcome(), (429, "rate_limited"));
    let header =
        |name: &str| refused.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value);
    assert_eq!(header("content-type").map(String::as_str), Some("application/problem+json"));
    let wait: u32 = header("retry-after").and_then(|wait| wait.parse().ok()).expect("when to come again");
    assert!((1..=3).contains(&wait), "{wait}");
    assert!(refused.text_at("/hint").contains("limits.trusted_proxies"), "{}", refused.text);
    for _ in 0..PER_MINUTE * 2 {
        for path in ["/healthz", "/readyz"] {
            http::send(fixture.broker.request(Method::GET, path)).expect(200);
        }
        let beat = fixture.broker.request(Method::POST, &format!("/v2/agentic/jit/{grant}/heartbeat"));
        let beat = beat.bearer_auth(&fixture.agent.auth_token).header("Idempotency-Key", &key);
        http::send(beat).expect(200);
    }
    for _ in 0..PER_MINUTE * 2 {
        let back = fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit/{grant}"));
        http::send(back.bearer_auth(&fixture.agent.auth_token)).expect(200);
    }
    let path = format!("/v2/agents/{}/disable", fixture.agent.id);
    fixture.broker.operator(Method::POST, &path).expect(200);
}

#[test]
fn behind_a_trusted_proxy_each_client_has_its_own_rate_limit() {
    let fixture = limited("trusted_proxies = [\"127.0.0.0/8\"]");
    exhaust(&fixture, |_| "198.51.100.7".to_owned());
    keys_for(&fixture, "198.51.100.8").expect(200);
    // The client itself wrote the left part of the header, which the broker ignores.
    exhaust(&fixture, |n| format!("203.0.113.{n}, 198.51.100.9"));
}

#[test]
fn forwarded_address_of_an_untrusted_peer_is_ignored() {
    let fixture = limited("trusted_proxies = [\"10.0.0.0/8\"]");
    exhaust(&fixture, |n| format!("198.51.100.{n}"));
}
