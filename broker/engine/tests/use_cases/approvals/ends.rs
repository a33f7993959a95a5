//! How a request ends that persons do not approve, or that its client does not collect.

use super::*;

async fn assert_denied(fixture: &Fixture, broker: &Arc<Engine>, grant: &Grant, why: &str) {
    fixture.settle(broker).await;
    let now = state(broker, &grant.id).await;
    assert_eq!((now.status, now.end_reason.as_deref()), (GrantStatus::Denied, Some(why)));
    assert_eq!(fixture.objects(), 0);
    let events = events(broker, &grant.id).await;
    assert_eq!(events.last().unwrap().kind, EventKind::Denied);
    let alice = signed_in(fixture, broker, "late", "platform").await;
    assert_eq!(approve(broker, &alice, grant).await.unwrap_err(), ErrorCode::RequestDecided);
    let refused = broker.elevate(elevation(fixture, 1)).await.unwrap_err();
    assert!(
        [ErrorCode::GrantEnded, ErrorCode::AgentDisabled, ErrorCode::RuleDenied].contains(&refused.code),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_request_that_is_not_approved_in_time_is_denied() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    fixture.pass_time(3599);
    fixture.settle(&broker).await;
    assert_eq!(state(&broker, &grant.id).await.status, GrantStatus::PendingApproval);
    fixture.pass_time(1);
    assert_denied(&fixture, &broker, &grant, "not approved in time").await;
}

#[tokio::test]
async fn an_approval_that_is_not_collected_in_five_minutes_is_over() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    approve(&broker, &alice, &grant).await.unwrap();
    fixture.pass_time(300);
    let late = broker.elevate(elevation(&fixture, 1)).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::GrantEnded, "also before the worker has come");
    assert_denied(&fixture, &broker, &grant, "approved, and not collected in time").await;
}

#[tokio::test]
async fn a_client_that_sends_no_heartbeat_loses_its_request() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let elevation = fixture.elevation(1);
    let grant = broker.elevate(fixture.elevation(1)).await.unwrap().grant;
    for _ in 0..5 {
        fixture.pass_time(10);
        fixture.settle(&broker).await;
        let beat = broker.heartbeat(Some(&fixture.auth_token), &grant.id, &elevation.key).await.unwrap();
        assert_eq!(beat.status, GrantStatus::PendingApproval);
    }
    fixture.pass_time(61);
    fixture.settle(&broker).await;
    let ended = state(&broker, &grant.id).await;
    assert_eq!(ended.status, GrantStatus::Denied);
    assert_eq!(ended.end_reason.as_deref(), Some("no heartbeat within the lease"));
}

#[tokio::test]
async fn a_client_withdraws_its_request_by_key() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    let caller = broker.caller(Some(&fixture.auth_token)).await.unwrap();
    let key = Revocable::Key(elevation(&fixture, 1).key);
    let cause: RevokeCause = "interrupted:15".parse().unwrap();
    let ended = broker.revoke(&caller, &key, cause).await.unwrap();
    assert_eq!(ended.status, GrantStatus::Denied);
    let why = ended.end_reason.unwrap();
    assert_denied(&fixture, &broker, &grant, &why).await;
}

#[tokio::test]
async fn a_disabled_agent_gets_nothing_that_was_approved_for_it() {
    for approved in [false, true] {
        let fixture = Fixture::new().await;
        let broker = broker_with(&fixture, ONE).await;
        let grant = asked(&fixture, &broker).await;
        if approved {
            let alice = signed_in(&fixture, &broker, "alice", "payments").await;
            approve(&broker, &alice, &grant).await.unwrap();
        }
        broker.disable_agent(&AGENT.parse().unwrap(), &operator_actor()).await.unwrap();
        assert_denied(&fixture, &broker, &grant, "agent disabled by operator release-bot").await;
    }
}

#[tokio::test]
async fn a_change_of_rules_denies_a_request_or_makes_its_approval_unnecessary() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    apply(&broker, &format!("{NONE}\n@id(\"frozen\") forbid (principal, action, resource);")).await;
    assert_denied(&fixture, &broker, &grant, "context changed · refused by frozen").await;

    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    apply(&broker, NONE).await;
    fixture.settle(&broker).await;
    assert!(approval(&state(&broker, &grant.id).await).approved_at.is_some());
    // Asked for again before the client has come: no person has approved.
    apply(&broker, TWO).await;
    let waits = broker.elevate(elevation(&fixture, 1)).await.unwrap().grant;
    assert_eq!((waits.status, approval(&waits).quorum), (GrantStatus::PendingApproval, 2));
    apply(&broker, NONE).await;
    collected(&fixture, &broker).await;
    events(&broker, &grant.id).await;
}

#[tokio::test]
async fn a_live_grant_keeps_its_approval_until_more_persons_are_asked_for() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    approve(&broker, &alice, &grant).await.unwrap();
    collected(&fixture, &broker).await;
    apply(&broker, &ONE.replace("\"one\"", "\"other-name\"")).await;
    fixture.settle(&broker).await;
    assert_eq!(state(&broker, &grant.id).await.status, GrantStatus::Active);
    apply(&broker, TWO).await;
    fixture.settle(&broker).await;
    fixture.pass_time(60);
    fixture.settle(&broker).await;
    let ended = state(&broker, &grant.id).await;
    assert_eq!(ended.end_reason.as_deref(), Some("context changed · refused by two"));
    fixture.assert_nothing_left("after more persons were asked for").await;
}

#[tokio::test]
async fn where_persons_cannot_sign_in_a_request_is_refused_at_once() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    broker.set_people(None);
    let refused = broker.elevate(elevation(&fixture, 1)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ApprovalRequired);
    assert!(refused.hint.unwrap().contains("no provider for the sign-in of persons"));
}

#[tokio::test]
async fn a_waiting_request_counts_for_the_limit_of_its_run() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let source = broker.agent(&AGENT.parse().unwrap()).await.unwrap().registration;
    let limited = source.replacen("max_session", "max_active_grants_per_run = 1\nmax_session", 1);
    let author = Author::Actor(operator_actor());
    broker.apply_agent(&limited, ApplyMode::Replace, &author).await.unwrap();
    asked(&fixture, &broker).await;
    let second = broker.elevate(elevation(&fixture, 2)).await.unwrap_err();
    assert_eq!(second.code, ErrorCode::TooManyActiveGrants);
}
