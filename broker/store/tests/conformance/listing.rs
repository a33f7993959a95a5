//! Grants are listed and counted.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{GrantId, GrantStatus};
use store::{Listing, Only, OriginFilter, Store};

use super::fixtures::{accepted, active, agent_id, at, created, ended, grant_id, is_new, refused, request};

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

/// A grant of this repository, commit and account, requested at this second.
async fn from(store: &dyn Store, number: u64, secs: i64, [repository, commit, actor]: [&str; 3]) {
    let fact = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut transition = accepted(request("orders", number));
    transition.grant.requested_at = at(secs);
    let signed = &mut transition.grant.provenance.signed;
    (signed.repository, signed.commit, signed.actor) = (fact(repository), fact(commit), fact(actor));
    is_new(store.create_grant(&transition, None, None, None, None).await.unwrap());
}

pub(crate) async fn found_by_origin_and_time(store: &dyn Store) {
    let long = "r".repeat(5000);
    from(store, 1, 1000, ["octo/app", "a7c1f24d", "alice"]).await;
    from(store, 2, 2000, ["octo/app", "b000", "bob"]).await;
    from(store, 3, 3000, ["octo/lib", "a7c1", "alice"]).await;
    from(store, 4, 4000, ["", "", ""]).await;
    // The clock of this broker is a minute behind.
    from(store, 5, 3940, [&long, "a7c\u{10ffff}z", "a\0b"]).await;
    let text = |text: &str| Some(text.to_owned());
    let any = OriginFilter::default();
    for (origin, expected) in [
        (OriginFilter { repository: text("octo/app"), ..any.clone() }, vec![2, 1]),
        (OriginFilter { repository: text("octo/%"), ..any.clone() }, vec![]),
        (OriginFilter { repository: text(&long), ..any.clone() }, vec![5]),
        (OriginFilter { commit: text("a7c1f24"), ..any.clone() }, vec![1]),
        (OriginFilter { commit: text("a7c1"), ..any.clone() }, vec![3, 1]),
        (OriginFilter { commit: text("a7c1f24d0"), ..any.clone() }, vec![]),
        (OriginFilter { commit: text("A7C1"), ..any.clone() }, vec![]),
        (OriginFilter { actor: text("alice"), ..any.clone() }, vec![3, 1]),
        (OriginFilter { actor: text("a\0b"), ..any.clone() }, vec![5]),
        (OriginFilter { actor: text("alice"), repository: text("octo/lib"), ..any.clone() }, vec![3]),
        (OriginFilter { from: Some(at(2000)), ..any.clone() }, vec![5, 4, 3, 2]),
        (OriginFilter { from: Some(at(3950)), ..any.clone() }, vec![4]),
        (OriginFilter { before: Some(at(2000)), ..any.clone() }, vec![1]),
        (OriginFilter { before: Some(at(4000)), ..any.clone() }, vec![5, 3, 2, 1]),
        (OriginFilter { from: Some(at(3000)), before: Some(at(4000)), ..any.clone() }, vec![5, 3]),
        (OriginFilter { from: Some(at(9000)), ..any.clone() }, vec![]),
        (OriginFilter { before: Some(at(1)), ..any.clone() }, vec![]),
    ] {
        let listing = Listing { origin: origin.clone(), limit: 10, ..Listing::default() };
        assert_eq!(list(store, listing.clone()).await, numbers(expected.clone()), "{origin:?}");
        let first = Listing { limit: 1, ..listing.clone() };
        assert_eq!(list(store, first).await, numbers(expected.first().copied()), "{origin:?}");
        if let Some(newest) = expected.first() {
            let older = Listing { after: Some(grant_id(*newest)), ..listing.clone() };
            assert_eq!(list(store, older).await, numbers(expected[1..].to_vec()), "{origin:?}");
        }
        let of_others = Listing { agent: Some(agent_id("stock")), ..listing.clone() };
        assert!(list(store, of_others).await.is_empty());
        let ended = Listing { live: Some(false), ..listing };
        assert!(list(store, ended).await.is_empty(), "{origin:?}");
    }
    // A denied request is found like a grant, once.
    for _ in 0..2 {
        refused(store, "orders", 6).await;
    }
    let listing = Listing {
        origin: OriginFilter { from: Some(at(0)), ..any },
        live: Some(false),
        limit: 10,
        ..Listing::default()
    };
    assert_eq!(list(store, listing).await, numbers([6]));
}

pub(crate) async fn stuck_grants_are_listed(store: &dyn Store) {
    let grant = active(store, "orders", 1, None).await;
    ended(store, "orders", 2).await;
    refused(store, "orders", 3).await;
    let due = grant.grant.due_at().unwrap();
    let stuck = |before| Listing {
        live: Some(true),
        only: Some(Only::Stuck(before)),
        limit: 10,
        ..Listing::default()
    };
    assert_eq!(list(store, stuck(due)).await, numbers([]));
    assert_eq!(list(store, stuck(due.plus(Duration::from_millis(1)))).await, numbers([1]));
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
