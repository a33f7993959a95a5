//! Security events (RFC 8417, pushed as in RFC 8935) of a transmitter whose tokens a third party's provider signs.

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::fixture::Fixture;
use system_tests::http::{self, Answer};
use system_tests::oidc_provider::Token;
use system_tests::time;
use system_tests::waiting::eventually;

use super::{SCANNED, apply};

const AUDIENCE: &str = "https://jit.example.com/events";
const COMPLIANCE: &str = "https://schemas.openid.net/secevent/caep/event-type/device-compliance-change";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

fn fixture() -> Fixture {
    let fixture = Fixture::start();
    let issuer = fixture.provider.issuer().to_owned();
    fixture.broker.reconfigure(|text| {
        format!(
            "{text}\n[posture.scanner]\nmax_age_minutes = 60\n[posture.scanner.security_events]\n\
             issuer = \"{issuer}\"\naudience = \"{AUDIENCE}\"\nsubject = \"actor\"\n"
        )
    });
    fixture.broker.hang_up();
    fixture
}

fn token(fixture: &Fixture, change: impl FnOnce(Token) -> Token, events: Value) -> String {
    let claims = json!({
        "jti": "1", "sub_id": {"format": "opaque", "id": "octocat"}, "events": events, "exp": null,
    });
    let token = Token::with_claims(claims).audience(AUDIENCE).header("typ", "secevent+jwt");
    fixture.provider.mint(&change(token)).unwrap()
}

fn push(fixture: &Fixture, token: String) -> Answer {
    let request = fixture.broker.request(Method::POST, "/v2/security-events/scanner");
    http::send(request.header("content-type", "application/secevent+jwt").body(token))
}

fn compliant(status: &str) -> Value {
    json!({ COMPLIANCE: {"current_status": status, "previous_status": "unknown"} })
}

#[test]
fn pushed_events_are_posture_and_end_the_grants_of_their_subject() {
    let fixture = fixture();
    eventually("the transmitter in the configuration", || {
        (push(&fixture, token(&fixture, |token| token, compliant("compliant"))).status == 202).then_some(())
    });
    apply(&fixture.broker, SCANNED);
    let id = fixture.elevate().expect(201).text_at("/id").to_owned();
    let other = json!({ "https://schemas.openid.net/secevent/caep/event-type/assurance-level-change": {} });
    push(&fixture, token(&fixture, |token| token, other)).expect(202);
    let path = format!("/v2/agentic/jit/{id}");
    let status = || fixture.broker.operator(Method::GET, &path).expect(200).text_at("/status").to_owned();
    assert_eq!(status(), "active");
    let later = json!({ REVOKED: {"event_timestamp": time::seconds() + 1} });
    push(&fixture, token(&fixture, |token| token, later)).expect(202);
    eventually("the end of the grant", || (status() == "revoked").then_some(()));
    assert_eq!(fixture.elevate().outcome(), (403, "rule_denied"));
}

#[test]
fn events_that_the_transmitter_did_not_sign_for_this_broker_are_refused() {
    let fixture = fixture();
    eventually("the transmitter in the configuration", || {
        (push(&fixture, token(&fixture, |token| token, compliant("compliant"))).status == 202).then_some(())
    });
    let listed = || fixture.broker.operator(Method::GET, "/v2/posture").expect(200).json;
    let before = listed();
    let with = |change: &dyn Fn(Token) -> Token| token(&fixture, change, compliant("not-compliant"));
    let good = with(&|token| token);
    let (signed, _) = good.rsplit_once('.').unwrap();
    for (token, err) in [
        (with(&|token| token.audience("https://another.example")), "invalid_audience"),
        (with(&|token| token.header("typ", "JWT")), "invalid_request"),
        (with(&|token| token.header("kid", "unknown")), "invalid_key"),
        (format!("{signed}.{}", "A".repeat(342)), "invalid_key"),
        (token(&fixture, |token| token, json!({})), "invalid_request"),
        ("no token".to_owned(), "invalid_request"),
    ] {
        let answer = push(&fixture, token.clone());
        assert_eq!((answer.status, answer.text_at("/err")), (400, err), "{token}: {}", answer.text);
    }
    assert_eq!(listed(), before);
    let unknown = fixture.broker.request(Method::POST, "/v2/security-events/edr");
    let unknown = http::send(unknown.header("content-type", "application/secevent+jwt").body(good));
    assert_eq!((unknown.status, unknown.text_at("/err")), (400, "access_denied"));
}
