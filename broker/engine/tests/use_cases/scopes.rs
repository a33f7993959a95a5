//! Grants of an agent whose boundary has several scopes.

use engine::{Author, Elevation};
use protocol::ErrorCode;
use store::ApplyMode;

use crate::fixture::{AGENT, Fixture, Gate};

const SCOPES: &str = r#"
    use_case = "other"
    max_session = "1h"
    [dangerous]
    allow_auth_token_only = true
    [[boundary.scope]]
    name = "staging"
    target = "token"
    policies = { "orders-read" = "staging:read" }
    [[boundary.scope]]
    name = "production"
    target = "token"
    max_session = "15m"
    policies = { "orders-read" = "production:read" }
"#;

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    let source = format!("id = \"{AGENT}\"\n{SCOPES}");
    fixture
        .broker(Gate::open())
        .await
        .apply_agent(&source, ApplyMode::Replace, &Author::Configuration)
        .await
        .unwrap();
    fixture
}

fn with(fixture: &Fixture, key: u8, target: Option<&str>) -> Elevation {
    let mut elevation = fixture.elevation(key);
    elevation.request.target = target.map(str::to_owned);
    elevation
}

#[tokio::test]
async fn a_grant_keeps_the_scope_that_its_request_named() {
    let fixture = fixture().await;
    let broker = fixture.broker(Gate::open()).await;
    let agent = broker.agent(&AGENT.parse().unwrap()).await.unwrap();
    assert_eq!(agent.targets, ["staging", "production"]);
    for (key, name) in [(1, "staging"), (2, "production")] {
        let elevation = with(&fixture, key, Some(name));
        let (bearer, idempotency) = (elevation.bearer.clone(), elevation.key.clone());
        let decision =
            broker.dry_run(bearer.as_ref(), &elevation.request, elevation.observed.clone()).await.unwrap();
        assert_eq!(decision.target, name);
        let grant = broker.elevate(elevation).await.unwrap().grant;
        assert_eq!((grant.scope.as_str(), grant.target.as_str()), (name, "token"));
        let renewed = broker.credentials(bearer.as_ref(), &grant.id, &idempotency).await.unwrap();
        assert_eq!(renewed.scope, name, "fresh credentials are of the same scope");
        let asked = fixture.timeline(&grant.id).await.events.remove(0);
        assert_eq!(asked.data.get("scope").map(String::as_str), Some(name));
    }
}

#[tokio::test]
async fn a_request_that_names_no_scope_of_several_is_refused_with_their_names() {
    let fixture = fixture().await;
    let broker = fixture.broker(Gate::open()).await;
    for (key, target, code, detail) in [
        (1, None, ErrorCode::InvalidRequest, "expected one of `staging`, `production`, found none"),
        (
            2,
            Some("prod"),
            ErrorCode::TargetNotPermitted,
            "expected one of `staging`, `production`, found `prod`",
        ),
    ] {
        let refused = broker.elevate(with(&fixture, key, target)).await.unwrap_err();
        assert_eq!(refused.code, code);
        assert!(refused.detail.contains(detail), "{}", refused.detail);
        assert!(refused.hint.as_deref().unwrap_or_default().contains("--target"), "{:?}", refused.hint);
    }
    let long = broker.elevate({
        let mut elevation = with(&fixture, 3, Some("production"));
        elevation.request.ttl = "30m".parse().unwrap();
        elevation
    });
    assert_eq!(long.await.unwrap_err().code, ErrorCode::TtlTooLong);
    assert_eq!(fixture.objects(), 0);
}

#[tokio::test]
async fn a_scope_that_the_registration_no_longer_has_gets_no_fresh_credentials() {
    let fixture = fixture().await;
    let broker = fixture.broker(Gate::open()).await;
    let elevation = with(&fixture, 1, Some("production"));
    let (bearer, key) = (elevation.bearer.clone(), elevation.key.clone());
    let grant = broker.elevate(elevation).await.unwrap().grant;
    let source = format!("id = \"{AGENT}\"\n{}", SCOPES.replace("\"production\"", "\"live\""));
    broker.apply_agent(&source, ApplyMode::Replace, &Author::Configuration).await.unwrap();
    let refused = broker.credentials(bearer.as_ref(), &grant.id, &key).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TargetNotPermitted);
}
