//! Whose votes count, and for what.

use super::*;

#[tokio::test]
async fn a_request_waits_for_a_person_and_its_run_collects_it() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    assert_eq!((approval(&grant).quorum, &*approval(&grant).rules), (1, &["one".to_owned()][..]));
    let again = broker.elevate(elevation(&fixture, 1)).await.unwrap().grant;
    assert_eq!((again.id.clone(), again.status), (grant.id.clone(), GrantStatus::PendingApproval));
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let voted = approve(&broker, &alice, &grant).await.unwrap().grant;
    assert!(approval(&voted).approved_at.is_some());
    assert_eq!(fixture.objects(), 0, "an approval provisions nothing before the run asks again");
    fixture.pass_time(60);
    let active = collected(&fixture, &broker).await;
    assert_eq!(active.id, grant.id);
    assert_eq!(active.expires_at, broker.now().plus(active.ttl.into()), "waiting costs no time of the grant");
    assert_eq!(approval(&active).approved_by[0].person.subject, "alice");
    let caller = broker.caller(Some(&fixture.auth_token)).await.unwrap();
    let key = Revocable::Key(elevation(&fixture, 1).key);
    broker.revoke(&caller, &key, RevokeCause::StepExited(0)).await.unwrap();
    let again = approve(&broker, &alice, &grant).await.unwrap().grant;
    assert_eq!(again.status, GrantStatus::Revoked, "an approval whose answer was lost is sent again");
    let events = events(&broker, &grant.id).await;
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds[..5],
        [
            EventKind::Elevate,
            EventKind::Danger,
            EventKind::Approval,
            EventKind::Approval,
            EventKind::Approval
        ]
    );
    assert_eq!(events[3].text, "approved by alice Example: ticket 7 · 1 of 1");
    assert!(matches!(&events[3].actor, Some(protocol::Actor::Person(person)) if person.subject == "alice"));
}

#[tokio::test]
async fn two_persons_have_to_approve_and_each_counts_once() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, TWO).await;
    let grant = asked(&fixture, &broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    for _ in 0..2 {
        let voted = approve(&broker, &alice, &grant).await.unwrap().grant;
        assert_eq!((approval(&voted).approved_by.len(), approval(&voted).approved_at), (1, None));
    }
    // Another session of the same person, as a member of another team.
    let same = signed_in(&fixture, &broker, "alice", "platform").await;
    let voted = approve(&broker, &same, &grant).await.unwrap().grant;
    assert_eq!(approval(&voted).approved_by.len(), 1);
    let waits = broker.elevate(elevation(&fixture, 1)).await.unwrap().grant;
    assert_eq!(waits.status, GrantStatus::PendingApproval);
    let bob = signed_in(&fixture, &broker, "bob", "payments").await;
    let voted = approve(&broker, &bob, &grant).await.unwrap().grant;
    assert!(approval(&voted).approved_at.is_some());
    collected(&fixture, &broker).await;
}

#[tokio::test]
async fn one_no_ends_the_request_also_after_an_approval() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, TWO).await;
    let grant = asked(&fixture, &broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let bob = signed_in(&fixture, &broker, "bob", "support").await;
    approve(&broker, &alice, &grant).await.unwrap();
    let denied = vote(&broker, &bob, &grant, Choice::Deny).await.unwrap().grant;
    assert_eq!(denied.status, GrantStatus::Denied);
    assert_eq!(denied.end_reason.as_deref(), Some("denied by bob Example: ticket 7"));
    let again = vote(&broker, &bob, &grant, Choice::Deny).await.unwrap().grant;
    assert_eq!(again.end_reason, denied.end_reason, "a denial whose answer was lost is sent again");
    let late = signed_in(&fixture, &broker, "carol", "platform").await;
    assert_eq!(approve(&broker, &late, &grant).await.unwrap_err(), ErrorCode::RequestDecided);
    let ended = broker.elevate(elevation(&fixture, 1)).await.unwrap_err();
    assert_eq!(ended.code, ErrorCode::GrantEnded);
    let events = events(&broker, &grant.id).await;
    assert_eq!(events.last().unwrap().kind, EventKind::Denied);
    assert_eq!(fixture.objects(), 0);
}

#[tokio::test]
async fn only_persons_with_the_right_vote() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    let sales = signed_in(&fixture, &broker, "dave", "sales").await;
    assert_eq!(approve(&broker, &sales, &grant).await.unwrap_err(), ErrorCode::GrantNotFound);
    broker.set_people(Some(people(
        ISSUER,
        r#"@id("see") permit (principal, action == Action::"view", resource);"#,
    )));
    assert_eq!(approve(&broker, &sales, &grant).await.unwrap_err(), ErrorCode::NotPermitted);
    assert_eq!(vote(&broker, &sales, &grant, Choice::Deny).await.unwrap_err(), ErrorCode::NotPermitted);
    let agent = fixture.auth_token.clone();
    assert_eq!(approve(&broker, &agent, &grant).await.unwrap_err(), ErrorCode::AuthTokenInvalid);
    assert_eq!(approval(&state(&broker, &grant.id).await).approved_by, []);
}

#[tokio::test]
async fn a_vote_is_for_what_the_person_was_shown() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, TWO).await;
    let grant = asked(&fixture, &broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    approve(&broker, &alice, &grant).await.unwrap();
    // The same policy means more now.
    let source = broker.agent(&AGENT.parse().unwrap()).await.unwrap().registration;
    let wider = source.replace("orders:read", "orders:all");
    assert_ne!(source, wider);
    let author = Author::Actor(operator_actor());
    broker.apply_agent(&wider, ApplyMode::Replace, &author).await.unwrap();
    let bob = signed_in(&fixture, &broker, "bob", "support").await;
    assert_eq!(approve(&broker, &bob, &grant).await.unwrap_err(), ErrorCode::RequestChanged);
    let now = state(&broker, &grant.id).await;
    assert_eq!(approval(&now).approved_by, [], "the vote for the old meaning is gone");
    let told = events(&broker, &grant.id).await;
    assert!(told.last().unwrap().text.starts_with("changed: policies · "), "{}", told.last().unwrap().text);
    approve(&broker, &bob, &now).await.unwrap();
    assert_eq!(approve(&broker, &alice, &grant).await.unwrap_err(), ErrorCode::RequestChanged);
    approve(&broker, &alice, &now).await.unwrap();
    collected(&fixture, &broker).await;
}

#[tokio::test]
async fn a_person_who_lost_the_right_does_not_count_when_the_last_one_votes_or_the_run_collects() {
    let without_payments = PERSONS.replace("principal in Team::\"payments\" ||", "");
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, TWO).await;
    let grant = asked(&fixture, &broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let bob = signed_in(&fixture, &broker, "bob", "support").await;
    let carol = signed_in(&fixture, &broker, "carol", "platform").await;
    approve(&broker, &alice, &grant).await.unwrap();
    broker.set_people(Some(people(ISSUER, &without_payments)));
    let voted = approve(&broker, &bob, &grant).await.unwrap().grant;
    assert_eq!(approval(&voted).approved_by[0].person.subject, "bob");
    assert_eq!(approval(&voted).approved_by.len(), 1);
    broker.set_people(Some(people(ISSUER, PERSONS)));
    let voted = approve(&broker, &alice, &grant).await.unwrap().grant;
    assert!(approval(&voted).approved_at.is_some());
    broker.set_people(Some(people(ISSUER, &without_payments)));
    let waits = broker.elevate(elevation(&fixture, 1)).await.unwrap().grant;
    assert_eq!((waits.status, fixture.objects()), (GrantStatus::PendingApproval, 0));
    for person in [&bob, &carol] {
        approve(&broker, person, &grant).await.unwrap();
    }
    collected(&fixture, &broker).await;
}

#[tokio::test]
async fn the_vote_of_a_person_whose_sessions_are_ended_does_not_count() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    approve(&broker, &alice, &grant).await.unwrap();
    broker.end_sessions_of("bob", &operator_actor()).await.unwrap();
    assert_eq!(approval(&state(&broker, &grant.id).await).approved_by.len(), 1);
    broker.end_sessions_of("alice", &operator_actor()).await.unwrap();
    assert_eq!(approve(&broker, &alice, &grant).await.unwrap_err(), ErrorCode::SessionEnded);
    let waits = broker.elevate(elevation(&fixture, 1)).await.unwrap().grant;
    assert_eq!((waits.status, fixture.objects()), (GrantStatus::PendingApproval, 0));
    let bob = signed_in(&fixture, &broker, "bob", "payments").await;
    approve(&broker, &bob, &grant).await.unwrap();
    collected(&fixture, &broker).await;
    events(&broker, &grant.id).await;
}

#[tokio::test]
async fn a_policy_of_high_sensitivity_needs_a_fresh_sign_in() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    make_sensitive(&broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    fixture.pass_time(15 * 60 + 1);
    let grant = asked(&fixture, &broker).await;
    assert_eq!(approve(&broker, &alice, &grant).await.unwrap_err(), ErrorCode::FreshSignInRequired);
    let fresh = signed_in(&fixture, &broker, "alice", "payments").await;
    approve(&broker, &fresh, &grant).await.unwrap();
    // The vote counts as it was given.
    fixture.pass_time(4 * 60);
    collected(&fixture, &broker).await;
}

#[tokio::test]
async fn a_person_sees_the_requests_of_the_agents_that_the_rules_show() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let grant = asked(&fixture, &broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let seen = broker.requests(Some(&alice), None, engine::Page::of(None)).await.unwrap();
    assert_eq!(seen.requests.len(), 1);
    assert_eq!(seen.requests[0].policies[0].meaning.as_deref(), Some("token orders:read"));
    let sales = signed_in(&fixture, &broker, "dave", "sales").await;
    let seen = broker.requests(Some(&sales), None, engine::Page::of(Some(1))).await.unwrap();
    assert_eq!((seen.requests.len(), seen.next), (0, None));
    assert_eq!(broker.request(Some(&sales), &grant.id).await.unwrap_err().code, ErrorCode::GrantNotFound);
    approve(&broker, &alice, &grant).await.unwrap();
    collected(&fixture, &broker).await;
    let seen = broker.requests(Some(&alice), None, engine::Page::of(None)).await.unwrap();
    assert_eq!(seen.requests.len(), 0, "what is collected does not wait");
    assert_eq!(broker.request(Some(&alice), &grant.id).await.unwrap().grant.status, GrantStatus::Active);
}
