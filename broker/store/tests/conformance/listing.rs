//! Grants are listed and counted.

use std::collections::BTreeMap;

use protocol::{GrantId, GrantStatus};
use store::{Listing, Store};

use super::fixtures::{active, agent_id, created, ended, grant_id, refused};

fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<GrantId> {
    range.into_iter().map(grant_id).collect()
}

async fn list(store: &dyn Store, listing: Listing) -> Vec<GrantId> {
    store.list(&listing).await.unwrap().into_iter().map(|stored| stored.grant.id).collect()
}

pub(crate) async fn newest_first_and_in_pages(store: &dyn Store) {
    // Ids fall as time grows, so that the two orders cannot be confused.
    for number in (0..7).rev() {
        created(store, "orders", number, None).await;
    }
    let page = |after: Option<u64>| Listing { after: after.map(grant_id), limit: 3, ..Listing::default() };
    assert_eq!(list(store, page(None)).await, numbers([0, 1, 2]));
    assert_eq!(list(store, page(Some(2))).await, numbers([3, 4, 5]));
    created(store, "orders", 8, None).await;
    assert_eq!(list(store, page(Some(5))).await, numbers([6]), "what is new does not move the pages");
    assert!(list(store, page(Some(6))).await.is_empty());
    assert!(list(store, page(Some(99))).await.is_empty(), "nothing comes after an unknown grant");
}

pub(crate) async fn filtered_by_agent_and_liveness(store: &dyn Store) {
    active(store, "orders", 1, None).await;
    ended(store, "orders", 2).await;
    created(store, "stock", 3, None).await;
    refused(store, "stock", 4).await;
    created(store, "orders", 5, None).await;
    let all = |live, agent: Option<&str>| Listing {
        live,
        agent: agent.map(agent_id),
        limit: 10,
        ..Listing::default()
    };
    for (live, agent, expected) in [
        (None, None, vec![5, 4, 3, 2, 1]),
        (Some(true), None, vec![5, 3, 1]),
        (Some(false), None, vec![4, 2]),
        (None, Some("orders"), vec![5, 2, 1]),
        (Some(true), Some("orders"), vec![5, 1]),
        (Some(false), Some("stock"), vec![4]),
        (None, Some("nobody"), vec![]),
    ] {
        assert_eq!(list(store, all(live, agent)).await, numbers(expected), "{live:?} {agent:?}");
        let after_five = Listing { after: Some(grant_id(5)), limit: 1, ..all(live, agent) };
        let first = list(store, all(live, agent)).await.into_iter().find(|id| *id != grant_id(5));
        assert_eq!(list(store, after_five).await, Vec::from_iter(first), "{live:?} {agent:?} after 5");
    }
}

pub(crate) async fn grants_are_counted_by_status(store: &dyn Store) {
    assert!(store.count_by_status().await.unwrap().is_empty());
    active(store, "orders", 1, None).await;
    active(store, "orders", 2, None).await;
    ended(store, "orders", 3).await;
    created(store, "stock", 4, None).await;
    refused(store, "stock", 5).await;
    let expected = BTreeMap::from([
        (GrantStatus::Active, 2),
        (GrantStatus::Revoked, 1),
        (GrantStatus::Applying, 1),
        (GrantStatus::Denied, 1),
    ]);
    assert_eq!(store.count_by_status().await.unwrap(), expected);
}
