//! Grants that persons take in an emergency: who may, what holds them, how they end, and their review.

use std::sync::Arc;

use domain::facts::ObservedFacts;
use engine::{Author, Elevated, Engine, Page, Revocable};
use protocol::break_glass::{BreakGlassRequest, NewCodes};
use protocol::{
    Actor, BreakGlassCodeId, ErrorCode, EventKind, Facts, Grant, GrantId, GrantStatus, IdempotencyKey,
    RevokeCause, Secret, TimelineEvent, Trust,
};
use store::ApplyMode;

use crate::fixture::{AGENT, Fixture, Gate, operator, operator_actor};
use crate::people::{ISSUER, people, person, signed_in};

mod alarms;
mod codes;
mod crashes;
mod independent;
mod reviews;

/// Who works on call takes grants, and the auditors review them; all of `platform` may do everything.
const PERSONS: &str = r#"
    @id("all") permit (principal in Team::"platform", action, resource);
    @id("on-call") permit (principal in Team::"on-call", action in [Action::"view", Action::"break_glass"], resource is Agent);
    @id("audit") permit (principal in Team::"audit", action in [Action::"view", Action::"audit"], resource is Agent);
"#;

/// Longer than every claim and every lease.
const A_WHILE: i64 = 61;
const DAY: i64 = 24 * 60 * 60;

async fn broker_at(fixture: &Fixture, gate: Arc<Gate>) -> Arc<Engine> {
    let broker = fixture.broker(gate).await;
    broker.set_people(Some(people(ISSUER, PERSONS)));
    broker
}

async fn broker(fixture: &Fixture) -> Arc<Engine> {
    broker_at(fixture, Gate::open()).await
}

fn request() -> BreakGlassRequest {
    BreakGlassRequest {
        agent_id: AGENT.parse().unwrap(),
        policies: vec!["orders-read".parse().unwrap()],
        ttl: "15m".parse().unwrap(),
        target: None,
        incident: "INC-1".to_owned(),
        reason: "orders are lost".to_owned(),
        claimed: Facts::default(),
    }
}

fn key(number: u8) -> IdempotencyKey {
    IdempotencyKey::from_random([number; 16])
}

async fn ask(
    broker: &Engine,
    bearer: &Secret,
    number: u8,
    request: BreakGlassRequest,
) -> Result<Grant, ErrorCode> {
    let taking = broker.break_glass(Some(bearer), key(number), request, ObservedFacts::default());
    taking.await.map(|Elevated { grant }| grant).map_err(|refusal| refusal.code)
}

async fn take(broker: &Engine, bearer: &Secret, number: u8) -> Result<Grant, ErrorCode> {
    ask(broker, bearer, number, request()).await
}

/// Seals codes for this agent.
async fn sealed(fixture: &Fixture, broker: &Engine, agents: &str, count: u32) -> Vec<Secret> {
    let admin = signed_in(fixture, broker, "admin", "platform").await;
    let new =
        NewCodes { agents: vec![agents.to_owned()], count, label: "safe in Berlin".to_owned(), days: 365 };
    let sealed = broker.seal_codes(Some(&admin), &new).await.unwrap();
    sealed.codes.into_iter().map(|sealed| sealed.code).collect()
}

async fn beat(broker: &Engine, bearer: &Secret, grant: &Grant, number: u8) -> Result<Grant, ErrorCode> {
    broker.heartbeat(Some(bearer), &grant.id, &key(number)).await.map_err(|refusal| refusal.code)
}

async fn revoke(broker: &Engine, bearer: &Secret, what: &Revocable) -> Result<Grant, ErrorCode> {
    let caller = broker.caller(Some(bearer)).await.map_err(|refusal| refusal.code)?;
    let revoked = broker.revoke(&caller, what, RevokeCause::StepExited(0)).await;
    revoked.map_err(|refusal| refusal.code)
}

/// The grant is over, and its objects are gone.
async fn settled(fixture: &Fixture, broker: &Arc<Engine>, id: &GrantId) -> Grant {
    for _ in 0..3 {
        fixture.settle(broker).await;
        fixture.pass_time(A_WHILE);
    }
    let grant = broker.state(&operator(), id).await.unwrap();
    assert_eq!((grant.status, fixture.objects()), (GrantStatus::Revoked, 0));
    grant
}

async fn events(broker: &Engine, id: &GrantId) -> Vec<TimelineEvent> {
    let timeline = broker.timeline(&operator(), id).await.unwrap();
    assert!(timeline.intact, "{:?}", timeline.broken);
    timeline.events
}

async fn review(broker: &Engine, bearer: &Secret, id: &GrantId) -> Result<Grant, ErrorCode> {
    let reviewing = broker.review_break_glass(Some(bearer), id, " restored the table ");
    reviewing.await.map_err(|refusal| refusal.code)
}

#[tokio::test]
async fn a_person_takes_a_grant_holds_it_and_ends_it() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let grant = take(&broker, &alice, 1).await.unwrap();
    assert_eq!(
        (grant.status, grant.heartbeat_seconds, fixture.objects()),
        (GrantStatus::Active, Some(10), 3)
    );
    assert!(grant.credentials.is_some());
    let joined = take(&broker, &alice, 1).await.unwrap();
    assert_eq!((joined.id, fixture.grants().await.len()), (grant.id.clone(), 1), "a retry joins");
    for _ in 0..6 {
        fixture.pass_time(20);
        beat(&broker, &alice, &grant, 1).await.unwrap();
        fixture.settle(&broker).await;
    }
    assert!(broker.credentials(Some(&alice), &grant.id, &key(1)).await.unwrap().credentials.is_some());
    let by_key = Revocable::KeyOf { agent: AGENT.parse().unwrap(), key: key(1) };
    revoke(&broker, &alice, &by_key).await.unwrap();
    let ended = settled(&fixture, &broker, &grant.id).await;
    assert_eq!(ended.end_reason.as_deref(), Some("step finished · exit 0"));

    let alice = Actor::Person(person("alice"));
    let taken = ended.break_glass.unwrap();
    assert_eq!((&taken.by, taken.incident.as_str()), (&alice, "INC-1"));
    assert_eq!(taken.review_until.unwrap().since(ended.requested_at).as_secs(), 24 * 60 * 60);
    assert_eq!(ended.provenance.trust, Trust::BreakGlass);
    let events = events(&broker, &grant.id).await;
    assert_eq!((events[0].kind, &events[0].actor), (EventKind::BreakGlass, &Some(alice)));
    assert_eq!(events[1].text, "boundary OK · neither rules nor persons were asked");
    assert_eq!(
        events[0].text,
        "orders-agent · orders-read · 15m · taken by alice Example · INC-1: orders are lost"
    );
}

#[tokio::test]
async fn no_one_takes_a_grant_without_the_right_a_fresh_sign_in_and_the_boundary() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let carol = signed_in(&fixture, &broker, "carol", "audit").await;
    assert_eq!(take(&broker, &carol, 1).await.unwrap_err(), ErrorCode::NotPermitted);
    let mallory = signed_in(&fixture, &broker, "mallory", "sales").await;
    assert_eq!(take(&broker, &mallory, 1).await.unwrap_err(), ErrorCode::AgentNotFound);
    assert_eq!(
        take(&broker, &fixture.auth_token, 1).await.unwrap_err(),
        ErrorCode::AuthTokenInvalid,
        "no credential of a workload reaches it"
    );
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    for (change, expected) in [
        (
            BreakGlassRequest { policies: vec!["admin".parse().unwrap()], ..request() },
            ErrorCode::PolicyNotPermitted,
        ),
        (BreakGlassRequest { target: Some("aws".to_owned()), ..request() }, ErrorCode::TargetNotPermitted),
        (BreakGlassRequest { ttl: "61m".parse().unwrap(), ..request() }, ErrorCode::TtlTooLong),
        (BreakGlassRequest { incident: " ".to_owned(), ..request() }, ErrorCode::InvalidRequest),
        (BreakGlassRequest { incident: "x".repeat(65), ..request() }, ErrorCode::InvalidRequest),
        (BreakGlassRequest { reason: String::new(), ..request() }, ErrorCode::InvalidRequest),
        (BreakGlassRequest { policies: Vec::new(), ..request() }, ErrorCode::InvalidRequest),
        (BreakGlassRequest { agent_id: "other".parse().unwrap(), ..request() }, ErrorCode::AgentNotFound),
    ] {
        assert_eq!(ask(&broker, &alice, 1, change).await.unwrap_err(), expected);
    }
    fixture.pass_time(15 * 60 + 1);
    assert_eq!(take(&broker, &alice, 1).await.unwrap_err(), ErrorCode::FreshSignInRequired);
    assert_eq!(fixture.objects(), 0);
    let live = fixture.grants().await.into_iter().filter(|record| !record.grant.status().is_final());
    assert_eq!(live.count(), 0);
}

#[tokio::test]
async fn the_workload_of_the_agent_does_not_reach_what_a_person_took() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let bob = signed_in(&fixture, &broker, "bob", "on-call").await;
    let grant = take(&broker, &alice, 1).await.unwrap();
    let (workload, by_id) = (&fixture.auth_token, Revocable::Id(grant.id.clone()));
    let caller = broker.caller(Some(workload)).await.unwrap();
    let refused = broker.state(&caller, &grant.id).await.unwrap_err().code;
    assert_eq!(refused, ErrorCode::GrantNotFound);
    assert_eq!(revoke(&broker, workload, &by_id).await.unwrap_err(), ErrorCode::GrantNotFound);
    let with_the_key = broker.credentials(Some(workload), &grant.id, &key(1)).await.unwrap_err().code;
    assert_eq!(with_the_key, ErrorCode::GrantNotFound);
    assert_eq!(broker.elevate(fixture.elevation(1)).await.unwrap_err().code, ErrorCode::IdempotencyConflict);
    // Nor does another person who may take grants, with the key.
    assert_eq!(take(&broker, &bob, 1).await.unwrap_err(), ErrorCode::IdempotencyConflict);
    assert_eq!(beat(&broker, &bob, &grant, 1).await.unwrap_err(), ErrorCode::GrantNotFound);
    assert_eq!(revoke(&broker, &bob, &by_id).await.unwrap_err(), ErrorCode::NotPermitted);
    // A person with the right ends it, and it is that person who did.
    let admin = signed_in(&fixture, &broker, "admin", "platform").await;
    revoke(&broker, &admin, &by_id).await.unwrap();
    let ended = settled(&fixture, &broker, &grant.id).await;
    assert_eq!(ended.end_reason.as_deref(), Some("ended by admin Example"));
}

#[tokio::test]
async fn a_grant_ends_without_heartbeats_and_with_the_sessions_of_its_person() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let first = take(&broker, &alice, 1).await.unwrap();
    fixture.pass_time(A_WHILE);
    let ended = settled(&fixture, &broker, &first.id).await;
    assert_eq!(ended.end_reason.as_deref(), Some("no heartbeat within the lease"));

    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let second = take(&broker, &alice, 2).await.unwrap();
    broker.end_sessions_of("alice", &operator_actor()).await.unwrap();
    assert_eq!(beat(&broker, &alice, &second, 2).await.unwrap_err(), ErrorCode::SessionEnded);
    fixture.pass_time(A_WHILE);
    settled(&fixture, &broker, &second.id).await;
}

#[tokio::test]
async fn a_grant_does_not_count_against_the_runs_of_the_agent_nor_they_against_it() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let source = broker.agent(&AGENT.parse().unwrap()).await.unwrap().registration;
    let limited = source.replacen("max_session", "max_active_grants_per_run = 1\nmax_session", 1);
    let author = Author::Actor(operator_actor());
    broker.apply_agent(&limited, ApplyMode::Replace, &author).await.unwrap();
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    broker.elevate(fixture.elevation(1)).await.unwrap();
    take(&broker, &alice, 2).await.unwrap();
    take(&broker, &alice, 3).await.unwrap();
    assert_eq!(fixture.objects(), 9);
}

#[tokio::test]
async fn a_narrower_boundary_ends_a_live_grant() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let grant = take(&broker, &alice, 1).await.unwrap();
    let source = broker.agent(&AGENT.parse().unwrap()).await.unwrap().registration;
    let narrower = source.replace("\"orders-read\"", "\"orders-list\"");
    let author = Author::Actor(operator_actor());
    broker.apply_agent(&narrower, ApplyMode::Replace, &author).await.unwrap();
    fixture.settle(&broker).await;
    settled(&fixture, &broker, &grant.id).await;
    let ended = events(&broker, &grant.id).await;
    assert!(
        ended.iter().any(|event| event.data.get("cause").is_some_and(|cause| cause == "context_changed"))
    );
}
