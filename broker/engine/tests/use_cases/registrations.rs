//! Limits of a registration on grants, and a stored registration that this release no longer accepts.

use domain::registration::parse_stored;
use engine::{Author, Engine, Revocable};
use protocol::{AgentId, ErrorCode, GrantStatus, IdempotencyKey, RevokeCause, Secret, Timestamp};
use store::{ApplyMode, Registering, StoredToken};

use crate::fixture::{AGENT, Fixture, Gate, operator};

const BOUNDARY: &str = r#"
    [boundary]
    target = "token"
    policies = { "orders-read" = "orders:read" }
    [dangerous]
    allow_auth_token_only = true
"#;

fn source(keys: &str) -> String {
    format!("id = \"{AGENT}\"\nuse_case = \"other\"\nmax_session = \"1h\"\n{keys}\n{BOUNDARY}")
}

async fn apply(broker: &Engine, keys: &str) {
    broker.apply_agent(&source(keys), ApplyMode::Replace, &Author::Configuration).await.unwrap();
}

#[tokio::test]
async fn request_over_the_limit_is_recorded_and_changes_nothing_at_the_target() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    apply(&broker, "max_active_grants_per_run = 1").await;
    let first = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    let objects = fixture.objects();
    let refused = broker.elevate(fixture.elevation(2)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TooManyActiveGrants);
    assert!(refused.detail.contains("whose token names no run"), "{}", refused.detail);
    assert_eq!(fixture.objects(), objects);
    let denied =
        fixture.grants().await.into_iter().filter(|stored| stored.grant.status() == GrantStatus::Denied);
    assert_eq!(denied.count(), 1);
    let joined = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    assert_eq!(joined.id, first.id, "a retry joins its grant");

    let by_id = Revocable::Id(first.id);
    broker.revoke(&operator(), &by_id, RevokeCause::Asked).await.unwrap();
    broker.elevate(fixture.elevation(3)).await.unwrap();
}

#[tokio::test]
async fn concurrent_requests_do_not_exceed_the_limit() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    apply(&broker, "max_active_grants_per_run = 1").await;
    let asked = (1..9).map(|key| broker.elevate(fixture.elevation(key)));
    let answers = futures_util::future::join_all(asked).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    let codes = refused.into_iter().filter_map(Result::err).map(|refusal| refusal.code);
    assert!(codes.into_iter().all(|code| code == ErrorCode::TooManyActiveGrants));
    for elevated in made {
        let by_id = Revocable::Id(elevated.unwrap().grant.id);
        broker.revoke(&operator(), &by_id, RevokeCause::Asked).await.unwrap();
    }
    fixture.settle(&broker).await;
    assert_eq!(fixture.objects(), 0, "only one grant had objects");
}

#[tokio::test]
async fn a_grant_without_a_heartbeat_is_refused_where_one_is_required() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    apply(&broker, "require_heartbeat = true").await;
    let mut silent = fixture.elevation(1);
    silent.request.heartbeat = false;
    let dry =
        broker.dry_run(silent.bearer.as_ref(), &silent.request, silent.observed.clone()).await.unwrap_err();
    assert_eq!(dry.code, ErrorCode::HeartbeatRequired);
    assert_eq!(broker.elevate(silent).await.unwrap_err().code, ErrorCode::HeartbeatRequired);
    assert_eq!(fixture.objects(), 0);
    broker.elevate(fixture.elevation(2)).await.unwrap();
}

/// Stores a registration that an earlier release accepted.
async fn accepted_once(fixture: &Fixture, keys: &str) {
    let source = source(keys);
    let registration = &parse_stored(&source).unwrap();
    assert!(registration.trust.is_err(), "this release still accepts the registration");
    let now = Timestamp::from_secs(1);
    let token = &StoredToken {
        id: "unused".to_owned(),
        agent_id: registration.id.clone(),
        hash: String::new(),
        created_at: now,
        expires_at: None,
    };
    let registering = Registering { registration, source: &source, mode: ApplyMode::Replace, token, now };
    fixture.store.apply_agent(registering).await.unwrap();
}

#[tokio::test]
async fn invalid_stored_registration_stops_only_its_own_agent() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let other: Secret = fixture.register("other-agent").await;
    let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    accepted_once(&fixture, "[[trust]]\nissuer = \"https://ci.example\"\naudience = \"x\"").await;

    let broker = fixture.broker(Gate::open()).await;
    let refused = broker.elevate(fixture.elevation(2)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRegistration);
    assert!(refused.detail.contains("`trust[0].platform`"), "{}", refused.detail);
    let mut others = fixture.elevation(3);
    others.bearer = Some(other);
    others.request.agent_id = "other-agent".parse().unwrap();
    broker.elevate(others).await.unwrap();

    let agent: AgentId = AGENT.parse().unwrap();
    assert_eq!(broker.agent(&agent).await.unwrap().id, agent, "the agent is still shown");
    let key = IdempotencyKey::from_random([1; 16]);
    broker.heartbeat(Some(&fixture.auth_token), &grant.id, &key).await.unwrap();
    let holder = broker.caller(Some(&fixture.auth_token)).await.unwrap();
    broker.revoke(&holder, &Revocable::Id(grant.id), RevokeCause::Asked).await.unwrap();

    apply(&broker, "").await;
    broker.elevate(fixture.elevation(4)).await.unwrap();
}
