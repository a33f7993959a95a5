//! Expired rows are deleted, and no others.

use store::{Created, RevokeByKey, Store};

use super::fixtures::{KEPT, accepted, agent_id, at, key, once, registered, request, token};

pub(crate) async fn expired_rows_are_purged_and_no_others(store: &dyn Store) {
    store.ping().await.unwrap();
    registered(store, "orders", "t1", 10).await;
    store.rotate_token(&token("orders", "t2", 20), at(2000)).await.unwrap();
    let create = async |number| {
        store
            .create_grant(&accepted(request("orders", number)), None, Some(&once("t")), None, None)
            .await
            .unwrap()
    };
    assert!(matches!(create(1).await, Created::New(_)));
    let back = store.revoke_key(&agent_id("orders"), &key(9), at(2000)).await.unwrap();
    assert!(matches!(back, RevokeByKey::Tombstoned));

    store.purge(at(1999), KEPT).await.unwrap();
    assert!(matches!(create(2).await, Created::Replayed));
    assert!(matches!(create(9).await, Created::KeyRevoked));
    assert!(store.credential("t1").await.unwrap().is_some());

    store.purge(at(2000), KEPT).await.unwrap();
    assert!(matches!(create(2).await, Created::New(_)));
    let back = store.create_grant(&accepted(request("orders", 9)), None, None, None, None).await.unwrap();
    assert!(matches!(back, Created::New(_)));
    assert!(store.credential("t1").await.unwrap().is_none());
    assert!(store.credential("t2").await.unwrap().is_some(), "the current token has no end");
}

pub(crate) async fn many_rows_are_purged_in_batches(store: &dyn Store) {
    let orders = agent_id("orders");
    futures_util::future::join_all((0..1200).map(|n| {
        let (orders, key) = (&orders, key(n));
        async move { store.revoke_key(orders, &key, at(2000)).await.unwrap() }
    }))
    .await;
    store.purge(at(2000), KEPT).await.unwrap();
    for number in [0, 600, 1199] {
        let made =
            store.create_grant(&accepted(request("orders", number)), None, None, None, None).await.unwrap();
        assert!(matches!(made, Created::New(_)), "{number}");
    }
}
