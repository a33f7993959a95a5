//! A run has a limited number of grants at once.

use std::num::NonZeroU32;

use domain::grant::Request;
use futures_util::future::join_all;
use protocol::{GrantStatus, Timestamp};
use store::{Created, Store};

use super::fixtures::{accepted, agent_id, asked_back, created, done, end, key, once, registered, request};

const ONE: Option<NonZeroU32> = NonZeroU32::new(1);

fn of_run(agent: &str, number: u64, run: &str) -> Request {
    let run = (!run.is_empty()).then(|| run.to_owned());
    Request { run, ..request(agent, number) }
}

async fn asked(store: &dyn Store, request: Request, most: Option<NonZeroU32>) -> Created {
    store.create_grant(&accepted(request), None, None, most, None).await.unwrap()
}

pub(crate) async fn a_run_is_limited_to_its_number_of_grants(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    registered(store, "stock", "t2", 10).await;
    let Created::New(first) = asked(store, of_run("orders", 1, "a"), ONE).await else { panic!("no grant") };
    assert!(matches!(asked(store, of_run("orders", 2, "a"), ONE).await, Created::TooManyActive));
    assert!(store.grant_by_key(&agent_id("orders"), &key(2)).await.unwrap().is_none());
    let two = NonZeroU32::new(2);
    assert!(matches!(asked(store, of_run("orders", 2, "a"), two).await, Created::New(_)));
    assert!(matches!(asked(store, of_run("orders", 3, "b"), ONE).await, Created::New(_)));
    assert!(matches!(asked(store, of_run("stock", 4, "a"), ONE).await, Created::New(_)));
    assert!(matches!(asked(store, of_run("orders", 5, "a"), None).await, Created::New(_)), "no limit");

    let again = Request { id: super::fixtures::grant_id(9), ..of_run("orders", 1, "a") };
    let joined = asked(store, again, ONE).await;
    assert!(
        matches!(joined, Created::Joined(found) if found.grant == first.grant),
        "a retry is no other grant"
    );
}

pub(crate) async fn an_ending_grant_does_not_count(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    let Created::New(first) = asked(store, of_run("orders", 1, "a"), ONE).await else { panic!("no grant") };
    let active = first.grant.clone().activate(Timestamp::from_secs(1001), "token issued").unwrap();
    let first = done(store, &first, &active).await;
    assert!(matches!(asked(store, of_run("orders", 2, "a"), ONE).await, Created::TooManyActive));
    let ending = done(store, &first, &asked_back(&first)).await;
    assert_eq!(ending.grant.status(), GrantStatus::Revoking);
    let Created::New(second) = asked(store, of_run("orders", 2, "a"), ONE).await else { panic!("no grant") };
    let active = second.grant.clone().activate(Timestamp::from_secs(1001), "token issued").unwrap();
    let second = done(store, &second, &active).await;
    end(store, &second).await;
    assert!(matches!(asked(store, of_run("orders", 3, "a"), ONE).await, Created::New(_)));
}

pub(crate) async fn without_a_known_run_all_grants_of_the_agent_count(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    assert!(matches!(asked(store, of_run("orders", 1, "a"), ONE).await, Created::New(_)));
    assert!(matches!(asked(store, of_run("orders", 2, ""), ONE).await, Created::TooManyActive));
    registered(store, "stock", "t2", 10).await;
    created(store, "stock", 3, None).await;
    assert!(matches!(asked(store, of_run("stock", 4, "a"), ONE).await, Created::TooManyActive));
}

pub(crate) async fn a_request_over_the_limit_leaves_its_token_unused(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    assert!(matches!(asked(store, of_run("orders", 1, "a"), ONE).await, Created::New(_)));
    let with_token = async |request, most| {
        store.create_grant(&accepted(request), None, Some(&once("t")), most, None).await.unwrap()
    };
    assert!(matches!(with_token(of_run("orders", 2, "a"), ONE).await, Created::TooManyActive));
    assert!(matches!(with_token(of_run("orders", 3, "b"), ONE).await, Created::New(_)));
}

pub(crate) async fn concurrent_requests_of_a_run_do_not_exceed_the_limit(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    for (round, most) in [(0, 1), (1, 3), (2, 1)] {
        let run = format!("run-{round}");
        let asked =
            join_all((0..12).map(|number| {
                asked(store, of_run("orders", 100 * round + number, &run), NonZeroU32::new(most))
            }));
        let mut made = 0;
        for answer in asked.await {
            match answer {
                Created::New(_) => made += 1,
                Created::TooManyActive => {}
                other @ (Created::Joined(_)
                | Created::KeyConflict
                | Created::AgentDisabled
                | Created::KeyRevoked
                | Created::Replayed
                | Created::ContextChanged) => panic!("expected a grant or none, found {other:?}"),
            }
        }
        assert_eq!(made, most);
    }
}
