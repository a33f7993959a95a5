//! Requests that persons approved in advance.

use protocol::IdempotencyKey;
use protocol::standing_approvals::{NewStandingApproval, StandingApproval};

use super::*;

pub(crate) fn new(uses: u32, lasts: &str) -> NewStandingApproval {
    NewStandingApproval {
        agent_id: AGENT.parse().unwrap(),
        target: None,
        policies: vec!["orders-read".parse().unwrap()],
        git_ref: None,
        uses,
        lasts: lasts.parse().unwrap(),
        because: Some("release day".to_owned()),
    }
}

fn key(number: u8) -> IdempotencyKey {
    IdempotencyKey::from_random([number; 16])
}

async fn allow(
    broker: &Engine,
    person: &Secret,
    new: &NewStandingApproval,
) -> Result<StandingApproval, ErrorCode> {
    broker.approve_in_advance(Some(person), &key(1), new).await.map_err(|refusal| refusal.code)
}

async fn elevate(fixture: &Fixture, broker: &Engine, number: u8) -> Grant {
    broker.elevate(elevation(fixture, number)).await.unwrap().grant
}

async fn in_force(broker: &Engine, person: &Secret) -> Vec<StandingApproval> {
    broker.standing_approvals(Some(person)).await.unwrap().standing_approvals
}

#[tokio::test]
async fn a_request_that_was_approved_in_advance_gets_its_grant_at_once() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let standing = allow(&broker, &alice, &new(2, "4h")).await.unwrap();
    for number in 1..=2 {
        let grant = elevate(&fixture, &broker, number).await;
        assert_eq!(grant.status, GrantStatus::Active);
        let approvers = &approval(&grant).approved_by;
        assert_eq!(approvers[0].standing_approval, Some(standing.id.clone()));
        assert_eq!(in_force(&broker, &alice).await[0].used, u32::from(number));
        let events = events(&broker, &grant.id).await;
        let vote = events.iter().find(|event| event.text.starts_with("approved by")).unwrap();
        let expected =
            format!("approved by alice Example: release day · in advance by {} · 1 of 1", standing.id);
        assert_eq!(vote.text, expected);
        assert!(matches!(&vote.actor, Some(protocol::Actor::Person(person)) if person.subject == "alice"));
        // A retry joins its grant and uses nothing.
        assert_eq!(elevate(&fixture, &broker, number).await.id, grant.id);
        assert_eq!(in_force(&broker, &alice).await[0].used, u32::from(number));
    }
    let third = elevate(&fixture, &broker, 3).await;
    assert_eq!(third.status, GrantStatus::PendingApproval, "no use is left");
}

#[tokio::test]
async fn it_is_one_vote_of_its_person() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, TWO).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let bob = signed_in(&fixture, &broker, "bob", "support").await;
    allow(&broker, &alice, &new(5, "4h")).await.unwrap();
    broker.approve_in_advance(Some(&alice), &key(2), &new(5, "4h")).await.unwrap();
    let waits = elevate(&fixture, &broker, 1).await;
    assert_eq!((waits.status, approval(&waits).approved_by.len()), (GrantStatus::PendingApproval, 1));
    let voted = approve(&broker, &alice, &waits).await.unwrap().grant;
    assert_eq!(approval(&voted).approved_by.len(), 1, "the same person again");
    approve(&broker, &bob, &waits).await.unwrap();
    collected(&fixture, &broker).await;
    let used: Vec<u32> = in_force(&broker, &alice).await.iter().map(|standing| standing.used).collect();
    assert_eq!(used.iter().sum::<u32>(), 1, "the second one of the same person is not used: {used:?}");
    // With one of Bob's too, the request has both votes.
    allow(&broker, &bob, &new(1, "4h")).await.unwrap();
    assert_eq!(elevate(&fixture, &broker, 2).await.status, GrantStatus::Active);
}

#[tokio::test]
async fn it_ends_with_its_time_its_revocation_and_the_sessions_of_its_person() {
    for end in ["time", "own", "other", "sessions"] {
        let fixture = Fixture::new().await;
        let broker = broker_with(&fixture, ONE).await;
        let alice = signed_in(&fixture, &broker, "alice", "payments").await;
        let standing = allow(&broker, &alice, &new(5, "1h")).await.unwrap();
        match end {
            "time" => fixture.pass_time(60 * 60),
            "own" => drop(broker.revoke_standing_approval(Some(&alice), &standing.id).await.unwrap()),
            "other" => {
                let erin = signed_in(&fixture, &broker, "erin", "platform").await;
                drop(broker.revoke_standing_approval(Some(&erin), &standing.id).await.unwrap());
            }
            _ => drop(broker.end_sessions_of("alice", &operator_actor()).await.unwrap()),
        }
        assert_eq!(elevate(&fixture, &broker, 1).await.status, GrantStatus::PendingApproval, "{end}");
        let carol = signed_in(&fixture, &broker, "carol", "platform").await;
        assert_eq!(in_force(&broker, &carol).await, [], "{end}");
        // Its id stays known for a day, and a retry of a revocation is no error.
        broker.revoke_standing_approval(Some(&carol), &standing.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_revocation_withdraws_its_votes_for_requests_that_wait() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, TWO).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let bob = signed_in(&fixture, &broker, "bob", "support").await;
    let standing = allow(&broker, &alice, &new(5, "1h")).await.unwrap();
    let waits = elevate(&fixture, &broker, 1).await;
    approve(&broker, &bob, &waits).await.unwrap();
    broker.revoke_standing_approval(Some(&alice), &standing.id).await.unwrap();
    let now = state(&broker, &waits.id).await;
    assert_eq!((approval(&now).approved_by.len(), approval(&now).approved_at), (0, None));
    let told = events(&broker, &waits.id).await;
    assert!(told.last().unwrap().text.starts_with("a standing approval was revoked · "));
    approve(&broker, &bob, &waits).await.unwrap();
    approve(&broker, &alice, &waits).await.unwrap();
    collected(&fixture, &broker).await;
}

#[tokio::test]
async fn a_vote_whose_standing_approval_was_revoked_at_the_same_time_does_not_count() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let standing = allow(&broker, &alice, &new(5, "1h")).await.unwrap();
    // The broker dies between vote and collection, and the revocation saw no vote to withdraw.
    for boundary in 1.. {
        let gate = Gate::dying_at(boundary);
        let dying = self::broker(&fixture, gate.clone()).await;
        assert!(gate.run(dying.elevate(elevation(&fixture, 1))).await.is_none(), "no vote was seen");
        let grants = fixture.grants().await;
        let given = grants.first().and_then(|stored| stored.grant.approval.clone());
        if given.is_some_and(|approval| approval.is_given()) {
            break;
        }
    }
    let before = fixture.store.standing_approval(&standing.id).await.unwrap().unwrap();
    let revoked = domain::StandingApproval { revoked: true, ..before.clone() };
    assert!(fixture.store.change_standing_approval(&before, &revoked).await.unwrap());
    let waits = elevate(&fixture, &broker, 1).await;
    assert_eq!((waits.status, fixture.objects()), (GrantStatus::PendingApproval, 0));
}

#[tokio::test]
async fn it_covers_what_the_person_saw() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    allow(&broker, &alice, &new(5, "8h")).await.unwrap();
    // The same policy means more now.
    let source = broker.agent(&AGENT.parse().unwrap()).await.unwrap().registration;
    let wider = source.replace("orders:read", "orders:all");
    let author = Author::Actor(operator_actor());
    broker.apply_agent(&wider, ApplyMode::Replace, &author).await.unwrap();
    assert_eq!(elevate(&fixture, &broker, 2).await.status, GrantStatus::PendingApproval);
    let with_ref = NewStandingApproval { git_ref: Some("refs/heads/main".to_owned()), ..new(5, "8h") };
    broker.approve_in_advance(Some(&alice), &key(2), &with_ref).await.unwrap();
    assert_eq!(elevate(&fixture, &broker, 3).await.status, GrantStatus::PendingApproval, "no signed ref");
}

#[tokio::test]
async fn it_is_made_within_limits_by_persons_who_may_approve() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    let sales = signed_in(&fixture, &broker, "dave", "sales").await;
    let policy = |name: &str| NewStandingApproval { policies: vec![name.parse().unwrap()], ..new(1, "1h") };
    let long_ref = NewStandingApproval { git_ref: Some("r".repeat(256)), ..new(1, "1h") };
    let unknown = NewStandingApproval { agent_id: "unknown".parse().unwrap(), ..new(1, "1h") };
    for (person, wrong, expected) in [
        (&alice, new(0, "1h"), ErrorCode::InvalidRequest),
        (&alice, new(101, "1h"), ErrorCode::InvalidRequest),
        (&alice, new(1, "9h"), ErrorCode::InvalidRequest),
        (&alice, long_ref, ErrorCode::InvalidRequest),
        (&alice, policy("drop-tables"), ErrorCode::PolicyNotPermitted),
        (&alice, NewStandingApproval { policies: Vec::new(), ..new(1, "1h") }, ErrorCode::InvalidRequest),
        (&alice, unknown, ErrorCode::AgentNotFound),
        (&sales, new(1, "1h"), ErrorCode::AgentNotFound),
        (&fixture.auth_token, new(1, "1h"), ErrorCode::AuthTokenInvalid),
    ] {
        assert_eq!(allow(&broker, person, &wrong).await.unwrap_err(), expected, "{wrong:?}");
    }
    assert_eq!(in_force(&broker, &alice).await, []);
    let made = allow(&broker, &alice, &new(1, "1h")).await.unwrap();
    assert_eq!(allow(&broker, &alice, &new(1, "1h")).await.unwrap(), made, "a retry makes no other one");
    assert_eq!(allow(&broker, &alice, &new(2, "1h")).await.unwrap_err(), ErrorCode::IdempotencyConflict);
    // Bob may approve, and neither operates the agent nor made it; Dave may not see the agent.
    let bob = signed_in(&fixture, &broker, "bob", "support").await;
    for (person, expected) in [(&bob, ErrorCode::NotPermitted), (&sales, ErrorCode::StandingApprovalNotFound)]
    {
        let refused = broker.revoke_standing_approval(Some(person), &made.id).await.unwrap_err();
        assert_eq!(refused.code, expected);
    }
    assert_eq!((in_force(&broker, &bob).await.len(), in_force(&broker, &sales).await.len()), (1, 0));
    broker.revoke_standing_approval(Some(&alice), &made.id).await.unwrap();
    let again = allow(&broker, &alice, &new(1, "1h")).await.unwrap_err();
    assert_eq!(
        again,
        ErrorCode::IdempotencyConflict,
        "a late retry does not look as if requests were approved"
    );
}

#[tokio::test]
async fn a_person_who_lost_the_right_approves_nothing_in_advance() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    allow(&broker, &alice, &new(5, "1h")).await.unwrap();
    broker.set_people(Some(people(ISSUER, &PERSONS.replace("principal in Team::\"payments\" ||", ""))));
    assert_eq!(elevate(&fixture, &broker, 1).await.status, GrantStatus::PendingApproval);
    let dave = signed_in(&fixture, &broker, "dave", "support").await;
    assert_eq!(in_force(&broker, &dave).await[0].used, 0);
}

#[tokio::test]
async fn a_policy_of_high_sensitivity_is_approved_in_advance_only_as_long_as_the_sign_in_is_fresh() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    make_sensitive(&broker).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    assert_eq!(allow(&broker, &alice, &new(5, "16m")).await.unwrap_err(), ErrorCode::FreshSignInRequired);
    allow(&broker, &alice, &new(5, "15m")).await.unwrap();
    fixture.pass_time(14 * 60);
    assert_eq!(elevate(&fixture, &broker, 1).await.status, GrantStatus::Active);
}

#[tokio::test]
async fn a_crash_anywhere_costs_one_use_and_gives_one_vote() {
    let mut boundary = 1;
    loop {
        let context = format!("boundary {boundary}");
        let fixture = Fixture::new().await;
        let first = broker_with(&fixture, ONE).await;
        let alice = signed_in(&fixture, &first, "alice", "payments").await;
        allow(&first, &alice, &new(5, "1h")).await.unwrap();
        let gate = Gate::dying_at(boundary);
        let dying = broker(&fixture, gate.clone()).await;
        if gate.run(dying.elevate(elevation(&fixture, 1))).await.is_some() {
            break;
        }
        drop(dying);
        let after = broker(&fixture, Gate::open()).await;
        fixture.settle(&after).await;
        let grant = after.elevate(elevation(&fixture, 1)).await.expect(&context).grant;
        assert_eq!((grant.status, fixture.objects()), (GrantStatus::Active, 3), "{context}");
        assert_eq!(approval(&grant).approved_by.len(), 1, "{context}");
        assert_eq!(in_force(&after, &alice).await[0].used, 1, "{context}");
        events(&after, &grant.id).await;
        boundary += 1;
    }
    assert!(boundary > 5, "only {boundary} boundaries were found");
}

#[tokio::test]
async fn of_many_requests_at_once_as_many_are_approved_as_uses_are_left() {
    let fixture = Fixture::new().await;
    let broker = broker_with(&fixture, ONE).await;
    let alice = signed_in(&fixture, &broker, "alice", "payments").await;
    allow(&broker, &alice, &new(3, "1h")).await.unwrap();
    let grants =
        futures_util::future::join_all((1..=8).map(|number| elevate(&fixture, &broker, number))).await;
    let active = grants.iter().filter(|grant| grant.status == GrantStatus::Active).count();
    assert_eq!((active, in_force(&broker, &alice).await[0].used), (3, 3));
}
