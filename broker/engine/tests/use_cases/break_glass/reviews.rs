//! Another person reviews what was taken.

use super::*;

/// A grant that `alice` took and ended.
async fn ended(fixture: &Fixture, broker: &Arc<Engine>, alice: &Secret) -> Grant {
    let grant = take(broker, alice, 1).await.unwrap();
    revoke(broker, alice, &Revocable::Id(grant.id.clone())).await.unwrap();
    settled(fixture, broker, &grant.id).await
}

#[tokio::test]
async fn another_person_reviews_a_grant_that_has_ended() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let bob = signed_in(&fixture, &broker, "bob", "on-call").await;
    let carol = signed_in(&fixture, &broker, "carol", "audit").await;
    let live = take(&broker, &alice, 2).await.unwrap();
    assert_eq!(review(&broker, &carol, &live.id).await.unwrap_err(), ErrorCode::GrantLive);
    revoke(&broker, &alice, &Revocable::Id(live.id.clone())).await.unwrap();
    let grant = ended(&fixture, &broker, &alice).await;
    assert_eq!(review(&broker, &alice, &grant.id).await.unwrap_err(), ErrorCode::OwnBreakGlass);
    assert_eq!(review(&broker, &bob, &grant.id).await.unwrap_err(), ErrorCode::NotPermitted);
    assert_eq!(
        review(&broker, &fixture.auth_token, &grant.id).await.unwrap_err(),
        ErrorCode::AuthTokenInvalid
    );
    let reviewed = review(&broker, &carol, &grant.id).await.unwrap().break_glass.unwrap();
    let (carols, review_until) = (Actor::Person(person("carol")), reviewed.review_until);
    let given = reviewed.review.unwrap();
    assert_eq!((&given.by, given.note.as_str(), review_until), (&carols, "restored the table", None));
    assert_eq!(review(&broker, &carol, &grant.id).await.unwrap_err(), ErrorCode::AlreadyReviewed);
    let last = events(&broker, &grant.id).await.pop().unwrap();
    assert_eq!((last.kind, last.actor), (EventKind::BreakGlass, Some(carols)));
    assert_eq!(last.text, "reviewed by carol Example: restored the table");
}

#[tokio::test]
async fn a_person_who_took_a_grant_does_not_review_it_from_another_team() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let grant = ended(&fixture, &broker, &alice).await;
    // The same person, with the right by now.
    let promoted = signed_in(&fixture, &broker, "alice", "platform").await;
    assert_eq!(review(&broker, &promoted, &grant.id).await.unwrap_err(), ErrorCode::OwnBreakGlass);
}

#[tokio::test]
async fn ordinary_grants_and_those_that_never_became_active_need_no_review() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let carol = signed_in(&fixture, &broker, "carol", "audit").await;
    let ordinary = broker.elevate(fixture.elevation(9)).await.unwrap().grant;
    assert_eq!(review(&broker, &carol, &ordinary.id).await.unwrap_err(), ErrorCode::GrantNotFound);
    let mistaken = BreakGlassRequest { policies: vec!["admin".parse().unwrap()], ..request() };
    ask(&broker, &alice, 1, mistaken).await.unwrap_err();
    let denied =
        fixture.grants().await.into_iter().find(|record| record.grant.break_glass.is_some()).unwrap();
    assert_eq!(review(&broker, &carol, &denied.grant.id).await.unwrap_err(), ErrorCode::InvalidRequest);
    assert_eq!(events(&broker, &denied.grant.id).await[0].kind, EventKind::BreakGlass);
}

#[tokio::test]
async fn what_is_to_be_reviewed_is_listed_in_pages() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let carol = signed_in(&fixture, &broker, "carol", "audit").await;
    let mut ids = Vec::new();
    for number in 1..4 {
        let grant = take(&broker, &alice, number).await.unwrap();
        broker.elevate(fixture.elevation(100 + number)).await.unwrap();
        revoke(&broker, &alice, &Revocable::Id(grant.id.clone())).await.unwrap();
        ids.insert(0, grant.id);
    }
    settled_all(&fixture, &broker).await;
    review(&broker, &carol, &ids[1]).await.unwrap();
    let page = async |bearer: &Secret, unreviewed, after, limit| {
        let page = Page::of(Some(limit));
        let listed = broker.break_glass_grants(Some(bearer), unreviewed, after, page).await.unwrap();
        (listed.grants.into_iter().map(|grant| grant.id).collect::<Vec<_>>(), listed.next)
    };
    assert_eq!(page(&carol, false, None, 50).await, (ids.clone(), None));
    assert_eq!(page(&carol, true, None, 50).await.0, [ids[0].clone(), ids[2].clone()]);
    let (first, next) = page(&carol, false, None, 2).await;
    assert_eq!((first, page(&carol, false, next, 2).await.0), (ids[..2].to_vec(), ids[2..].to_vec()));
    let mallory = signed_in(&fixture, &broker, "mallory", "sales").await;
    assert_eq!(page(&mallory, false, None, 50).await, (Vec::new(), None));
}

async fn settled_all(fixture: &Fixture, broker: &Arc<Engine>) {
    for _ in 0..3 {
        fixture.settle(broker).await;
        fixture.pass_time(A_WHILE);
    }
}
