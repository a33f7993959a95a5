//! Auth tokens are stored, rotated and deleted.

use domain::AgentStatus;
use futures_util::future::join;
use store::{Store, StoredToken};

use super::fixtures::{agent_id, at, registered, token};

pub(crate) async fn a_token_leads_to_its_agent(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    registered(store, "stock", "t2", 10).await;
    let (found, agent) = store.credential("t2").await.unwrap().unwrap();
    assert_eq!((found, agent.id.as_str()), (token("stock", "t2", 10), "stock"));
    assert!(store.credential("t3").await.unwrap().is_none());
    store.set_agent_status(&agent_id("stock"), AgentStatus::Disabled, at(20)).await.unwrap();
    let (_, agent) = store.credential("t2").await.unwrap().unwrap();
    assert_eq!(agent.status, AgentStatus::Disabled);
}

pub(crate) async fn rotation_expires_other_tokens_but_never_later(store: &dyn Store) {
    let orders = agent_id("orders");
    assert!(!store.rotate_token(&token("orders", "t0", 5), at(5)).await.unwrap(), "no such agent");
    registered(store, "orders", "t1", 10).await;
    registered(store, "stock", "other", 10).await;
    assert!(store.rotate_token(&token("orders", "t2", 20), at(100)).await.unwrap());
    assert!(store.rotate_token(&token("orders", "t3", 30), at(200)).await.unwrap());

    let ending =
        |id, created, expires| StoredToken { expires_at: Some(at(expires)), ..token("orders", id, created) };
    let (first, second, third) = (ending("t1", 10, 100), ending("t2", 20, 200), token("orders", "t3", 30));
    assert_eq!(store.tokens(&orders, at(99)).await.unwrap(), [first, second.clone(), third.clone()]);
    assert_eq!(store.tokens(&orders, at(100)).await.unwrap(), [second, third.clone()]);
    assert_eq!(store.tokens(&orders, at(200)).await.unwrap(), [third]);
    assert_eq!(store.tokens(&agent_id("stock"), at(200)).await.unwrap(), [token("stock", "other", 10)]);
}

pub(crate) async fn a_removed_token_leads_nowhere(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    registered(store, "stock", "t2", 10).await;
    assert!(!store.revoke_token(&agent_id("orders"), "t2").await.unwrap(), "it is another agent's");
    assert!(store.revoke_token(&agent_id("orders"), "t1").await.unwrap());
    assert!(!store.revoke_token(&agent_id("orders"), "t1").await.unwrap());
    assert!(store.credential("t1").await.unwrap().is_none());
    assert!(store.credential("t2").await.unwrap().is_some());
}

pub(crate) async fn of_two_concurrent_rotations_one_expires_the_other(store: &dyn Store) {
    registered(store, "orders", "t0", 10).await;
    for round in 0..10 {
        let new = |name: &str| token("orders", &format!("{name}-{round}"), 20);
        let (one, other) = (new("one"), new("other"));
        let (first, second) =
            join(store.rotate_token(&one, at(100)), store.rotate_token(&other, at(100))).await;
        assert!(first.unwrap() && second.unwrap());
        let left = store.tokens(&agent_id("orders"), at(100)).await.unwrap();
        assert_eq!(left.len(), 1, "round {round}: {left:?}");
    }
}
