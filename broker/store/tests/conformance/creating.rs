//! A request gets a new grant, joins one, or is refused.

use domain::AgentStatus;
use domain::grant::Request;
use futures_util::future::{join, join_all};
use store::{Created, RevokeByKey, Store, StoreError};

use super::fixtures::{
    KEPT, accepted, agent_id, at, created, ended, for_job, grant_id, key, lease, once, registered, request,
};

pub(crate) async fn a_new_grant_is_read_back(store: &dyn Store) {
    let transition = accepted(request("orders", 1));
    assert!(store.grant(&transition.grant.id).await.unwrap().is_none());
    let made = created(store, "orders", 1, Some(lease(1000))).await;
    assert_eq!((&made.grant, made.lease), (&transition.grant, Some(lease(1000))));

    let by_id = store.grant(&transition.grant.id).await.unwrap().unwrap();
    let by_key = store.grant_by_key(&agent_id("orders"), &key(1)).await.unwrap().unwrap();
    for found in [by_id, by_key] {
        assert_eq!((&found.grant, found.lease, found.version), (&made.grant, made.lease, made.version));
    }
    assert!(store.grant_by_key(&agent_id("stock"), &key(1)).await.unwrap().is_none());
    assert!(store.grant_by_key(&agent_id("orders"), &key(2)).await.unwrap().is_none());
}

pub(crate) async fn the_same_key_joins_or_conflicts(store: &dyn Store) {
    let first = ended(store, "orders", 1).await;
    let again = Request { id: grant_id(9), ..request("orders", 1) };
    let other = Request { request_hash: "bb".to_owned(), ..again.clone() };
    let joined = store.create_grant(&accepted(again.clone()), None, None, None, None).await.unwrap();
    assert!(
        matches!(joined, Created::Joined(found) if found.grant == first.grant && found.version == first.version)
    );
    let conflict = store.create_grant(&accepted(other), None, None, None, None).await.unwrap();
    assert!(matches!(conflict, Created::KeyConflict));
    let another_agents = Request { agent_id: agent_id("stock"), ..again };
    let new = store.create_grant(&accepted(another_agents), None, None, None, None).await.unwrap();
    assert!(matches!(new, Created::New(_)), "keys are each agent's own");
}

pub(crate) async fn a_revoked_key_gets_no_grant(store: &dyn Store) {
    let back = store.revoke_key(&agent_id("orders"), &key(1), at(2000)).await.unwrap();
    assert!(matches!(back, RevokeByKey::Tombstoned));
    let again = store.revoke_key(&agent_id("orders"), &key(1), at(1500)).await.unwrap();
    assert!(matches!(again, RevokeByKey::Tombstoned));
    let refused = store
        .create_grant(&accepted(request("orders", 1)), None, Some(&once("t")), None, None)
        .await
        .unwrap();
    assert!(matches!(refused, Created::KeyRevoked));
    assert!(store.grant_by_key(&agent_id("orders"), &key(1)).await.unwrap().is_none());

    store.purge(at(1999), KEPT).await.unwrap();
    let refused = store.create_grant(&accepted(request("orders", 1)), None, None, None, None).await.unwrap();
    assert!(matches!(refused, Created::KeyRevoked), "the later of the two times counts");
    created(store, "stock", 1, None).await;
}

pub(crate) async fn revoking_a_key_with_a_grant_finds_the_grant(store: &dyn Store) {
    let made = created(store, "orders", 1, None).await;
    let back = store.revoke_key(&agent_id("orders"), &key(1), at(2000)).await.unwrap();
    assert!(matches!(back, RevokeByKey::Grant(found) if found.grant == made.grant));
    let joined = store.create_grant(&accepted(request("orders", 1)), None, None, None, None).await.unwrap();
    assert!(matches!(joined, Created::Joined(_)));
}

pub(crate) async fn a_token_for_one_use_is_bound_to_its_key(store: &dyn Store) {
    let create = async |number| {
        store.create_grant(&accepted(request("orders", number)), None, Some(&once("t")), None, None).await
    };
    assert!(matches!(create(1).await, Ok(Created::New(_))));
    assert!(matches!(create(1).await, Ok(Created::Joined(_))));
    assert!(matches!(create(2).await, Ok(Created::Replayed)));
    let another_agents = accepted(Request { id: grant_id(3), ..request("stock", 1) });
    let replayed = store.create_grant(&another_agents, None, Some(&once("t")), None, None).await.unwrap();
    assert!(matches!(replayed, Created::Replayed), "the same key is another agent's other key");
    assert!(store.grant(&grant_id(2)).await.unwrap().is_none());
    let fresh = store
        .create_grant(&accepted(request("orders", 2)), None, Some(&once("u")), None, None)
        .await
        .unwrap();
    assert!(matches!(fresh, Created::New(_)));
}

pub(crate) async fn a_token_for_one_job_is_bound_to_it(store: &dyn Store) {
    let create = async |number, job| {
        let guard = for_job("t", job);
        store
            .create_grant(&accepted(request("orders", number)), None, Some(&guard), None, None)
            .await
            .unwrap()
    };
    assert!(matches!(create(1, "orders 142 deploy").await, Created::New(_)));
    assert!(matches!(create(2, "orders 142 deploy").await, Created::New(_)));
    assert!(matches!(create(3, "orders 142 test").await, Created::Replayed));
    let refused = store
        .create_grant(&accepted(request("orders", 4)), None, Some(&once("t")), None, None)
        .await
        .unwrap();
    assert!(matches!(refused, Created::Replayed));
}

pub(crate) async fn a_refused_request_leaves_its_token_unused(store: &dyn Store) {
    created(store, "orders", 1, None).await;
    let conflicting = Request { request_hash: "bb".to_owned(), ..request("orders", 1) };
    let refused =
        store.create_grant(&accepted(conflicting), None, Some(&once("t")), None, None).await.unwrap();
    assert!(matches!(refused, Created::KeyConflict));
    let made = store
        .create_grant(&accepted(request("orders", 2)), None, Some(&once("t")), None, None)
        .await
        .unwrap();
    assert!(matches!(made, Created::New(_)));
}

pub(crate) async fn a_disabled_agent_gets_no_grant(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    let orders = agent_id("orders");
    store.set_agent_status(&orders, AgentStatus::Disabled, at(20)).await.unwrap();
    let refused = store
        .create_grant(&accepted(request("orders", 1)), None, Some(&once("t")), None, None)
        .await
        .unwrap();
    assert!(matches!(refused, Created::AgentDisabled));
    store.set_agent_status(&orders, AgentStatus::Active, at(30)).await.unwrap();
    let made = store
        .create_grant(&accepted(request("orders", 1)), None, Some(&once("t")), None, None)
        .await
        .unwrap();
    assert!(matches!(made, Created::New(_)));
}

pub(crate) async fn one_of_many_requests_with_one_key_makes_the_grant(store: &dyn Store) {
    let requests = (0..20).map(|n| Request { id: grant_id(100 + n), ..request("orders", 1) });
    let results = join_all(requests.map(async |request| {
        store.create_grant(&accepted(request), None, Some(&once("t")), None, None).await.unwrap()
    }))
    .await;
    let mut made = Vec::new();
    let mut joined = Vec::new();
    for result in results {
        match result {
            Created::New(stored) => made.push(stored.grant.id),
            Created::Joined(stored) => joined.push(stored.grant.id),
            other @ (Created::KeyConflict
            | Created::AgentDisabled
            | Created::KeyRevoked
            | Created::Replayed
            | Created::TooManyActive
            | Created::ContextChanged) => panic!("expected a grant, found {other:?}"),
        }
    }
    assert_eq!((made.len(), joined.len()), (1, 19));
    assert!(joined.iter().all(|id| *id == made[0]));
}

pub(crate) async fn a_failing_change_rolls_back_no_other(store: &dyn Store) {
    let taken = created(store, "orders", 0, None).await.grant.id;
    // Every third has an id that is taken, which the tables refuse after the token was consumed.
    let results = join_all((1..60).map(async |number| {
        let mut wanted = request("orders", number);
        if number % 3 == 0 {
            wanted.id = taken.clone();
        }
        (
            number,
            store.create_grant(&accepted(wanted), None, Some(&once(&number.to_string())), None, None).await,
        )
    }))
    .await;
    for (number, result) in results {
        match result {
            Ok(Created::New(_)) => assert_ne!(number % 3, 0, "{number}"),
            Err(StoreError::Corrupt { .. }) => assert_eq!(number % 3, 0, "{number}"),
            other => panic!("{number}: {other:?}"),
        }
        let found = store.grant_by_key(&agent_id("orders"), &key(number)).await.unwrap();
        assert_eq!(found.is_some(), number % 3 != 0, "{number}");
    }
    let unused = store
        .create_grant(&accepted(request("orders", 3)), None, Some(&once("3")), None, None)
        .await
        .unwrap();
    assert!(matches!(unused, Created::New(_)), "what was noted for the failed one is undone");
}

pub(crate) async fn a_key_gets_a_grant_or_a_tombstone_and_never_both(store: &dyn Store) {
    let orders = agent_id("orders");
    for number in 0..30 {
        let accepted = accepted(request("orders", number));
        let (key, end) = (key(number), at(2000));
        let (created, back) =
            join(store.create_grant(&accepted, None, None, None, None), store.revoke_key(&orders, &key, end))
                .await;
        match (created.unwrap(), back.unwrap()) {
            (Created::New(_), RevokeByKey::Grant(found)) => assert_eq!(found.grant, accepted.grant),
            (Created::KeyRevoked, RevokeByKey::Tombstoned) => {
                assert!(store.grant(&accepted.grant.id).await.unwrap().is_none());
            }
            both => panic!("{number}: {both:?}"),
        }
    }
}

pub(crate) async fn two_concurrent_jobs_with_one_token_get_one_grant(store: &dyn Store) {
    for round in 0..20 {
        let token = format!("token-{round}");
        let create = async |number: u64, job: &str| {
            let guard = for_job(&token, job);
            store
                .create_grant(&accepted(request("orders", number)), None, Some(&guard), None, None)
                .await
                .unwrap()
        };
        match join(create(2 * round, "one"), create(2 * round + 1, "other")).await {
            (Created::New(_), Created::Replayed) | (Created::Replayed, Created::New(_)) => {}
            both => panic!("{round}: {both:?}"),
        }
    }
}

pub(crate) async fn a_job_may_have_any_character(store: &dyn Store) {
    let create = async |number, job| {
        let guard = for_job("t", job);
        store
            .create_grant(&accepted(request("orders", number)), None, Some(&guard), None, None)
            .await
            .unwrap()
    };
    assert!(matches!(create(1, "a\0b").await, Created::New(_)));
    assert!(matches!(create(2, "a\0b").await, Created::New(_)));
    assert!(matches!(create(3, "a\\0b").await, Created::Replayed));
}
