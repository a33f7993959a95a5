//! A caller with an auth token alone cannot inject lines into the log.

use serde_json::{Value, json};
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::fixture::{AUDIENCE, Fixture, job_claims, new_key};
use system_tests::http;
use system_tests::oidc_provider::Token;

const FORGED: &str = "2026-11-29T00:00:00.000000Z  INFO registration applied agent=evil";

/// Sends a token whose key id contains a line break. At the second request the broker logs that it has just requested
/// this key from the issuer.
fn forge(fixture: &Fixture) -> String {
    let kid = format!("x\n{FORGED}\r\u{1b}[2K\u{202e}\u{2028}");
    let token = Token::with_claims(job_claims("142")).audience(AUDIENCE).header("kid", kid);
    let mut body = fixture.body();
    body["oidc_token"] = json!(fixture.provider.mint(&token).unwrap());
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let answer = http::send(fixture.elevation(&new_key(), &body));
        assert!(matches!(answer.status, 401 | 503), "{}", answer.text);
        outcomes.push(answer.status);
    }
    assert!(outcomes.contains(&503), "nothing was logged as an error: {outcomes:?}");
    fixture.broker.log()
}

#[track_caller]
fn assert_not_forged(log: &str) {
    assert!(log.contains("registration applied agent=evil"), "the detail is logged: {log}");
    assert!(!log.lines().any(|line| line.starts_with(FORGED)), "{log}");
    for c in ['\r', '\u{1b}', '\u{202e}', '\u{2028}'] {
        assert!(!log.contains(c), "{c:?} is in the log");
    }
}

#[test]
fn a_key_s_name_forges_no_line_of_the_log() {
    assert_not_forged(&forge(&Fixture::start()));
}

#[test]
fn a_key_s_name_forges_no_line_of_the_log_in_json() {
    let in_json = ["sh", "-c", "exec \"$0\" --log json \"$@\""];
    let log = forge(&Fixture::with(Broker::launched_by(&in_json, NO_RATE_LIMIT)));
    assert_not_forged(&log);
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}
