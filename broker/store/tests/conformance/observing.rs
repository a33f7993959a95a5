//! Steps that run without a grant are observed.

use domain::DecisionKind;
use futures_util::future::join;
use protocol::actions::Action;
use store::{
    ActionsAdded, DecisionFilter, OBSERVED_ACTIONS_KEPT, ObservationListing, Store, StoredObservation,
};

use super::fixtures::{KEPT, agent_id, at, decision};

fn action(name: &str, status: Option<&str>, count: u32) -> Action {
    Action { name: name.to_owned(), status: status.map(str::to_owned), count }
}

async fn observed(store: &dyn Store, id: &str, agent: &str, secs: i64) {
    store.record_observation(id, &decision(DecisionKind::Observe, agent, secs)).await.unwrap();
}

async fn all(store: &dyn Store) -> Vec<StoredObservation> {
    store.observations(ObservationListing { limit: 10, ..ObservationListing::default() }).await.unwrap()
}

pub(crate) async fn an_observation_is_read_back_with_its_actions(store: &dyn Store) {
    observed(store, "obs-1", "orders", 1000).await;
    observed(store, "obs-2", "stock", 1001).await;
    observed(store, "obs-3", "orders", 1002).await;
    store.record_observation("obs-1", &decision(DecisionKind::Observe, "orders", 1000)).await.unwrap_err();
    let put = action("s3:Put\0Object", Some("200"), 2);
    for actions in [vec![put.clone(), action("a", None, u32::MAX)], vec![put, action("a", None, 1)], vec![]] {
        let added = store.add_observed_actions("obs-1", &agent_id("orders"), &actions).await.unwrap();
        assert_eq!(added, ActionsAdded::Done);
    }
    let found = all(store).await;
    assert_eq!(found.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["obs-1", "obs-2", "obs-3"]);
    assert_eq!(found[0].decision, decision(DecisionKind::Observe, "orders", 1000));
    assert_eq!(found[0].actions, [action("a", None, u32::MAX), action("s3:Put\0Object", Some("200"), 4)]);
    assert!(found[1].actions.is_empty());

    let orders = agent_id("orders");
    let listing = ObservationListing { agent: Some(&orders), limit: 1, ..ObservationListing::default() };
    assert_eq!(store.observations(listing).await.unwrap(), found[..1]);
    let next = ObservationListing { after: Some(found[0].number), ..listing };
    assert_eq!(store.observations(next).await.unwrap(), found[2..]);
    let since = ObservationListing { since: Some(at(1001)), limit: 10, ..ObservationListing::default() };
    assert_eq!(store.observations(since).await.unwrap(), found[1..]);
    let recorded = store.decisions_after(0, DecisionFilter::default(), 10).await.unwrap();
    assert_eq!(recorded[0].observation.as_deref(), Some("obs-1"));
}

pub(crate) async fn actions_need_the_agent_of_the_observation(store: &dyn Store) {
    observed(store, "obs-1", "orders", 1000).await;
    for (id, agent) in [("obs-1", "stock"), ("obs-2", "orders")] {
        let added = store.add_observed_actions(id, &agent_id(agent), &[action("a", None, 1)]).await.unwrap();
        assert_eq!(added, ActionsAdded::Unknown);
    }
    assert!(all(store).await[0].actions.is_empty());
}

fn many(range: std::ops::Range<usize>) -> Vec<Action> {
    range.map(|n| action(&format!("call-{n}"), None, 1)).collect()
}

pub(crate) async fn actions_are_bounded(store: &dyn Store) {
    observed(store, "obs-1", "orders", 1000).await;
    let orders = agent_id("orders");
    let add =
        async |actions: Vec<Action>| store.add_observed_actions("obs-1", &orders, &actions).await.unwrap();
    assert_eq!(add(many(0..OBSERVED_ACTIONS_KEPT)).await, ActionsAdded::Done);
    assert_eq!(add(vec![action("call-1", None, 5)]).await, ActionsAdded::Done, "one of those that are kept");
    assert_eq!(
        add(vec![action("call-1", None, 1), action("call-1", Some("200"), 1)]).await,
        ActionsAdded::TooMany
    );
    let kept = &all(store).await[0].actions;
    assert_eq!(kept.len(), OBSERVED_ACTIONS_KEPT);
    assert!(kept.contains(&action("call-1", None, 6)));
}

pub(crate) async fn concurrent_reports_do_not_exceed_the_limit(store: &dyn Store) {
    observed(store, "obs-1", "orders", 1000).await;
    let orders = agent_id("orders");
    let (one, other) = (many(0..600), many(600..1200));
    let (one, other) = join(
        store.add_observed_actions("obs-1", &orders, &one),
        store.add_observed_actions("obs-1", &orders, &other),
    )
    .await;
    let outcomes = [one.unwrap(), other.unwrap()];
    assert!(
        outcomes.contains(&ActionsAdded::Done) && outcomes.contains(&ActionsAdded::TooMany),
        "{outcomes:?}"
    );
    assert_eq!(all(store).await[0].actions.len(), 600);
}

pub(crate) async fn old_observations_are_deleted_with_their_actions(store: &dyn Store) {
    let orders = agent_id("orders");
    observed(store, "obs-1", "orders", 1000).await;
    store.add_observed_actions("obs-1", &orders, &[action("a", None, 1)]).await.unwrap();
    observed(store, "obs-2", "orders", 1001).await;
    store.purge(at(1000).plus(KEPT), KEPT).await.unwrap();
    assert_eq!(all(store).await.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["obs-2"]);
    let gone = store.add_observed_actions("obs-1", &orders, &[action("a", None, 1)]).await.unwrap();
    assert_eq!(gone, ActionsAdded::Unknown);
    observed(store, "obs-1", "orders", 1002).await;
    assert!(all(store).await.last().unwrap().actions.is_empty());
}
