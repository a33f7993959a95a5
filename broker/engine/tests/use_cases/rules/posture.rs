//! Posture: who may report it, and what a report does to live grants.

use super::*;

fn scanner() -> (Vec<PostureSource>, Secret) {
    let token = Secret::new("cjop_of-the-scanner");
    let token_hash = Some(engine::hash_of(token.reveal()));
    let max_age = std::time::Duration::from_secs(600);
    (vec![PostureSource { name: "scanner".to_owned(), token_hash, max_age, transmitter: None }], token)
}

async fn broker_with_scanner(fixture: &Fixture) -> (Arc<Engine>, Secret) {
    let broker = fixture.broker(Gate::open()).await;
    let (sources, token) = scanner();
    broker.reconfigure(Settings::default(), engine::OperatorTokens::default(), sources);
    (broker, token)
}

const SCANNED: &str = r#"@id("scanned") forbid (principal, action, resource)
    unless { context.posture.hasTag("scanner") && context.posture.getTag("scanner").ok };"#;

#[tokio::test]
async fn a_posture_that_turns_bad_ends_live_grants_of_its_subject() {
    let fixture = Fixture::new().await;
    let (broker, token) = broker_with_scanner(&fixture).await;
    apply(&broker, &and(SCANNED)).await;
    let silent = broker.elevate(fixture.elevation(9)).await.unwrap_err();
    assert_eq!(silent.code, ErrorCode::RuleDenied);
    let subject = format!("agent/{AGENT}");
    let report = |ok, as_of: Timestamp| PostureReport { ok, as_of, expires_at: None };
    let put = async |ok| {
        let report = report(ok, broker.now());
        broker.put_posture(Some(&token), "scanner", &subject, &report).await.unwrap().outcome
    };
    assert_eq!(put(true).await, PostureOutcome::Changed);
    let id = granted(&fixture, &broker, 1).await;
    fixture.pass_time(1);
    assert_eq!(put(true).await, PostureOutcome::Unchanged);
    fixture.settle(&broker).await;
    assert_eq!(status(&broker, &id).await, GrantStatus::Active);
    fixture.pass_time(1);
    let late = report(true, broker.now());
    assert_eq!(put(false).await, PostureOutcome::Changed);
    let older = PostureReport { as_of: late.as_of.minus(std::time::Duration::from_secs(1)), ..late };
    let outcome = broker.put_posture(Some(&token), "scanner", &subject, &older).await.unwrap().outcome;
    assert_eq!(outcome, PostureOutcome::Older);
    fixture.settle(&broker).await;
    assert_ne!(status(&broker, &id).await, GrantStatus::Active);
}

#[tokio::test]
async fn a_source_that_falls_silent_counts_as_absent_and_ends_live_grants() {
    let fixture = Fixture::new().await;
    let (broker, token) = broker_with_scanner(&fixture).await;
    apply(&broker, &and(SCANNED)).await;
    let report = PostureReport { ok: true, as_of: broker.now(), expires_at: None };
    broker.put_posture(Some(&token), "scanner", &format!("agent/{AGENT}"), &report).await.unwrap();
    let mut elevation = fixture.elevation(1);
    elevation.request.heartbeat = false;
    let id = broker.elevate(elevation).await.unwrap().grant.id;
    fixture.pass_time(599);
    fixture.settle(&broker).await;
    assert_eq!(status(&broker, &id).await, GrantStatus::Active);
    fixture.pass_time(1);
    fixture.settle(&broker).await;
    let ended = broker.state(&operator(), &id).await.unwrap();
    assert_eq!(ended.end_reason.as_deref(), Some("context changed · refused by scanned"));
}

#[tokio::test]
async fn a_posture_report_needs_the_token_of_its_source_and_a_known_form() {
    let fixture = Fixture::new().await;
    let (broker, token) = broker_with_scanner(&fixture).await;
    let now = broker.now();
    let report = PostureReport { ok: true, as_of: now, expires_at: None };
    let code = async |token: Option<&Secret>, source: &str, subject: &str, report: &PostureReport| {
        broker.put_posture(token, source, subject, report).await.map_err(|refused| refused.code)
    };
    let subject = "repository/octo-org/app";
    let wrong = Secret::new("cjop_another");
    for (token, source, subject, expected) in [
        (None, "scanner", subject, ErrorCode::AuthTokenInvalid),
        (Some(&wrong), "scanner", subject, ErrorCode::AuthTokenInvalid),
        (Some(&token), "edr", subject, ErrorCode::AuthTokenInvalid),
        (Some(&token), "scanner", "octo-org", ErrorCode::InvalidRequest),
        (Some(&token), "scanner", "host/web-1", ErrorCode::InvalidRequest),
        (Some(&token), "scanner", "agent/", ErrorCode::InvalidRequest),
    ] {
        assert_eq!(code(token, source, subject, &report).await.unwrap_err(), expected, "{source} {subject}");
    }
    let hour = std::time::Duration::from_secs(3600);
    for as_of in [now.plus(hour), now.minus(hour)] {
        let report = PostureReport { as_of, ..report.clone() };
        let refused = code(Some(&token), "scanner", subject, &report).await.unwrap_err();
        assert_eq!(refused, ErrorCode::InvalidRequest);
    }
    let far = PostureReport { expires_at: Some(now.plus(hour)), ..report };
    let stored = code(Some(&token), "scanner", subject, &far).await.unwrap();
    assert_eq!(stored.expires_at, now.plus(std::time::Duration::from_secs(600)), "at most `max_age`");
}
