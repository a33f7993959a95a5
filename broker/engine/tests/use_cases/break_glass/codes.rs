//! Sealed codes: good for one grant of their agents each.

use super::*;

#[tokio::test]
async fn a_code_takes_one_grant_and_holds_it() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let codes = sealed(&fixture, &broker, "orders-*", 2).await;
    let (code, other) = (&codes[0], &codes[1]);
    let grant = take(&broker, code, 1).await.unwrap();
    assert_eq!(take(&broker, code, 1).await.unwrap().id, grant.id, "a retry joins");
    assert_eq!(take(&broker, code, 2).await.unwrap_err(), ErrorCode::BreakGlassCodeRefused);
    assert_eq!(take(&broker, other, 1).await.unwrap_err(), ErrorCode::IdempotencyConflict);
    beat(&broker, code, &grant, 1).await.unwrap();
    assert!(broker.credentials(Some(code), &grant.id, &key(1)).await.unwrap().credentials.is_some());
    // A person types it as it suits.
    let typed = Secret::new(code.reveal().to_owned());
    assert_eq!(
        broker.state(&broker.caller(Some(&typed)).await.unwrap(), &grant.id).await.unwrap().id,
        grant.id
    );

    let by_key = Revocable::KeyOf { agent: AGENT.parse().unwrap(), key: key(1) };
    assert_eq!(beat(&broker, other, &grant, 1).await.unwrap_err(), ErrorCode::GrantNotFound);
    for what in [&by_key, &Revocable::Id(grant.id.clone())] {
        assert_eq!(revoke(&broker, other, what).await.unwrap_err(), ErrorCode::GrantNotFound);
    }
    revoke(&broker, code, &by_key).await.unwrap();
    let ended = settled(&fixture, &broker, &grant.id).await;
    let Actor::Code { id, label } = ended.break_glass.unwrap().by else { panic!("not a code") };
    assert_eq!(label, "safe in Berlin");
    let listed =
        broker.sealed_codes(Some(&signed_in(&fixture, &broker, "eve", "platform").await)).await.unwrap();
    let used: Vec<_> = listed.codes.iter().filter(|code| code.used).map(|code| code.id.clone()).collect();
    assert_eq!((used, listed.codes.len()), (vec![id], 2));
    assert_eq!(take(&broker, code, 1).await.unwrap_err(), ErrorCode::GrantEnded);
}

#[tokio::test]
async fn of_many_requests_with_one_code_one_gets_a_grant() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let code = sealed(&fixture, &broker, "*", 1).await.remove(0);
    let asked = futures_util::future::join_all((1..9).map(|number| take(&broker, &code, number))).await;
    assert_eq!(asked.iter().filter(|taken| taken.is_ok()).count(), 1, "{asked:?}");
    assert_eq!(fixture.objects(), 3);
}

#[tokio::test]
async fn a_mistake_does_not_use_up_a_code() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let code = sealed(&fixture, &broker, "*", 1).await.remove(0);
    let mistaken = BreakGlassRequest { policies: vec!["admin".parse().unwrap()], ..request() };
    assert_eq!(ask(&broker, &code, 1, mistaken).await.unwrap_err(), ErrorCode::PolicyNotPermitted);
    take(&broker, &code, 2).await.unwrap();
}

#[tokio::test]
async fn a_code_is_refused_for_other_agents_after_its_end_and_when_it_is_revoked() {
    let fixture = Fixture::new().await;
    fixture.register("billing-agent").await;
    let broker = broker(&fixture).await;
    let codes = sealed(&fixture, &broker, "orders-*", 3).await;
    let other = BreakGlassRequest { agent_id: "billing-agent".parse().unwrap(), ..request() };
    assert_eq!(ask(&broker, &codes[0], 1, other).await.unwrap_err(), ErrorCode::BreakGlassCodeRefused);
    let of_other = Revocable::KeyOf { agent: "billing-agent".parse().unwrap(), key: key(1) };
    assert_eq!(revoke(&broker, &codes[0], &of_other).await.unwrap_err(), ErrorCode::GrantNotFound);

    // A code that is revoked takes no grant, and does not hold the one that it took.
    let eve = signed_in(&fixture, &broker, "eve", "platform").await;
    let grant = take(&broker, &codes[1], 1).await.unwrap();
    let Actor::Code { id, .. } = grant.break_glass.clone().unwrap().by else { panic!("not a code") };
    broker.revoke_code(Some(&eve), &id).await.unwrap();
    assert_eq!(
        broker.revoke_code(Some(&eve), &id).await.unwrap_err().code,
        ErrorCode::BreakGlassCodeNotFound
    );
    assert_eq!(beat(&broker, &codes[1], &grant, 1).await.unwrap_err(), ErrorCode::BreakGlassCodeRefused);
    fixture.pass_time(A_WHILE);
    settled(&fixture, &broker, &grant.id).await;

    // A code that was taken in time holds its grant over its end.
    fixture.pass_time(365 * DAY - 20 * 60);
    let grant = take(&broker, &codes[0], 3).await.unwrap();
    for _ in 0..40 {
        fixture.pass_time(20);
        beat(&broker, &codes[0], &grant, 3).await.unwrap();
    }
    fixture.pass_time(20 * 60);
    assert_eq!(take(&broker, &codes[2], 4).await.unwrap_err(), ErrorCode::BreakGlassCodeRefused);
}

#[tokio::test]
async fn what_is_refused_is_counted_also_a_code_that_no_one_sealed() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let counted = |broker: &Engine, name: &str| {
        broker.counters().read().into_iter().find(|(counter, ..)| *counter == name).unwrap().2
    };
    let forged = protocol::break_glass::BreakGlassCode::from_random([7; 16]).secret().clone();
    assert_eq!(take(&broker, &forged, 1).await.unwrap_err(), ErrorCode::BreakGlassCodeRefused);
    let cut = Secret::new("cjbg-0000");
    assert_eq!(take(&broker, &cut, 1).await.unwrap_err(), ErrorCode::BreakGlassCodeRefused);
    take(&broker, &fixture.auth_token, 1).await.unwrap_err();
    assert_eq!(counted(&broker, "break_glass_refused"), 3);
    // A request without any credential is no attempt.
    take(&broker, &Secret::new("nonsense"), 1).await.unwrap_err();
    assert_eq!(counted(&broker, "break_glass_refused"), 3);
    let code = sealed(&fixture, &broker, "*", 1).await.remove(0);
    take(&broker, &code, 2).await.unwrap();
    assert_eq!(counted(&broker, "break_glass_grants"), 1);
}

#[tokio::test]
async fn who_may_register_seals_codes() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let admin = signed_in(&fixture, &broker, "admin", "platform").await;
    let new = |agents: &[&str], count, label: &str, days| NewCodes {
        agents: agents.iter().map(|glob| (*glob).to_owned()).collect(),
        count,
        label: label.to_owned(),
        days,
    };
    let refused = broker.seal_codes(Some(&alice), &new(&["*"], 1, "l", 1)).await.unwrap_err().code;
    assert_eq!(refused, ErrorCode::NotPermitted);
    for wrong in [
        new(&[], 1, "l", 1),
        new(&["["], 1, "l", 1),
        new(&["*"], 0, "l", 1),
        new(&["*"], 21, "l", 1),
        new(&["*"], 1, "  ", 1),
        new(&["*"], 1, "l", 401),
    ] {
        let refused = broker.seal_codes(Some(&admin), &wrong).await.unwrap_err().code;
        assert_eq!(refused, ErrorCode::InvalidRequest, "{wrong:?}");
    }
    assert_eq!(broker.sealed_codes(Some(&admin)).await.unwrap().codes, []);
    let id = BreakGlassCodeId::from_random([1; 6]);
    assert_eq!(broker.revoke_code(Some(&alice), &id).await.unwrap_err().code, ErrorCode::NotPermitted);
}
