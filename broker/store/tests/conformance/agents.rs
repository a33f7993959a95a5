//! Registrations are stored and replaced.

use std::sync::Arc;

use domain::AgentStatus;
use futures_util::future::{join, join_all};
use protocol::agents::Outcome;
use store::{Applied, ApplyMode, Created, Listing, Store};

use super::fixtures::{accepted, agent_id, apply, at, registered, request, token, toml};

pub(crate) async fn a_registration_creates_updates_or_changes_nothing(store: &dyn Store) {
    let id = agent_id("orders");
    assert!(store.agent(&id).await.unwrap().is_none());
    assert_eq!(registered(store, "orders", "t1", 10).await, Applied::Done(Outcome::Created));

    let made = store.agent(&id).await.unwrap().unwrap();
    assert_eq!((made.created_at, made.updated_at, made.status), (at(10), at(10), AgentStatus::Active));
    assert_eq!(
        (made.source.as_str(), made.registration.description.as_str()),
        (&*toml("orders", "first"), "first")
    );

    assert_eq!(registered(store, "orders", "t2", 20).await, Applied::Done(Outcome::Unchanged));
    assert_eq!(store.agent(&id).await.unwrap().unwrap().updated_at, at(10));

    let changed = toml("orders", "second");
    let applied = apply(store, &changed, ApplyMode::Replace, &token("orders", "t3", 30), 30).await;
    assert_eq!(applied, Applied::Done(Outcome::Updated));
    let after = store.agent(&id).await.unwrap().unwrap();
    assert_eq!((after.created_at, after.updated_at), (at(10), at(30)));
    assert_eq!(after.registration.description, "second");

    let tokens = store.tokens(&id, at(30)).await.unwrap();
    assert_eq!(tokens, [token("orders", "t1", 10)], "only the first registration brings a token");
}

pub(crate) async fn create_only_changes_no_existing_agent(store: &dyn Store) {
    let create = async |description: &str, id: &str| {
        apply(store, &toml("orders", description), ApplyMode::CreateOnly, &token("orders", id, 10), 10).await
    };
    assert_eq!(create("first", "t1").await, Applied::Done(Outcome::Created));
    assert_eq!(create("first", "t2").await, Applied::Exists);
    assert_eq!(create("second", "t3").await, Applied::Exists);
    let agent = store.agent(&agent_id("orders")).await.unwrap().unwrap();
    assert_eq!(agent.registration.description, "first");
}

pub(crate) async fn an_agent_is_disabled_and_enabled(store: &dyn Store) {
    let id = agent_id("orders");
    assert!(store.set_agent_status(&id, AgentStatus::Disabled, at(5)).await.unwrap().is_none());
    registered(store, "orders", "t1", 10).await;
    let off = store.set_agent_status(&id, AgentStatus::Disabled, at(20)).await.unwrap().unwrap();
    assert_eq!((off.status, off.updated_at), (AgentStatus::Disabled, at(20)));
    assert_eq!(store.agent(&id).await.unwrap().unwrap().status, AgentStatus::Disabled);

    let applied =
        apply(store, &toml("orders", "second"), ApplyMode::Replace, &token("orders", "t2", 30), 30).await;
    assert_eq!(applied, Applied::Done(Outcome::Updated));
    let still_off = store.agent(&id).await.unwrap().unwrap();
    assert_eq!(still_off.status, AgentStatus::Disabled, "a registration switches nothing on");

    let on = store.set_agent_status(&id, AgentStatus::Active, at(40)).await.unwrap().unwrap();
    assert_eq!((on.status, on.updated_at), (AgentStatus::Active, at(40)));
    let as_it_was = store.set_agent_status(&id, AgentStatus::Active, at(50)).await.unwrap().unwrap();
    assert_eq!(as_it_was.updated_at, at(40));
}

pub(crate) async fn agents_are_paged_by_id(store: &dyn Store) {
    for name in ["b", "a-b", "a_b", "0", "ab"] {
        registered(store, name, name, 10).await;
    }
    let ids =
        |agents: Vec<Arc<domain::Agent>>| agents.iter().map(|agent| agent.id.to_string()).collect::<Vec<_>>();
    let first = ids(store.agents(None, 3).await.unwrap());
    assert_eq!(first, ["0", "a-b", "a_b"]);
    assert_eq!(ids(store.agents(Some(&agent_id("a_b")), 3).await.unwrap()), ["ab", "b"]);
    assert!(store.agents(Some(&agent_id("b")), 3).await.unwrap().is_empty());
}

pub(crate) async fn one_of_many_first_registrations_creates_the_agent(store: &dyn Store) {
    let tokens = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"];
    let applied = join_all(tokens.map(|id| registered(store, "orders", id, 10))).await;
    let made = applied.iter().filter(|one| **one == Applied::Done(Outcome::Created)).count();
    let left = applied.iter().filter(|one| **one == Applied::Done(Outcome::Unchanged)).count();
    assert_eq!((made, left), (1, tokens.len() - 1));
    assert_eq!(store.tokens(&agent_id("orders"), at(10)).await.unwrap().len(), 1);
}

pub(crate) async fn two_changes_in_one_millisecond_are_both_read(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    for description in ["second", "third"] {
        apply(store, &toml("orders", description), ApplyMode::Replace, &token("orders", "t2", 10), 10).await;
        let agent = store.agent(&agent_id("orders")).await.unwrap().unwrap();
        assert_eq!(agent.registration.description, description);
        let (_, agent) = store.credential("t1").await.unwrap().unwrap();
        assert_eq!(agent.registration.description, description);
    }
}

/// A listing after the agent was disabled finds every grant that the agent will ever have.
pub(crate) async fn an_agent_disabled_during_a_request_gets_no_later_grant(store: &dyn Store) {
    registered(store, "orders", "t1", 10).await;
    let orders = agent_id("orders");
    let listing = Listing { agent: Some(orders.clone()), limit: 1000, ..Listing::default() };
    for round in 0..20 {
        let wanted: Vec<_> = (0..4).map(|n| accepted(request("orders", 10 * round + n))).collect();
        let create =
            join_all(wanted.iter().map(|transition| store.create_grant(transition, None, None, None, None)));
        let off = async {
            store.set_agent_status(&orders, AgentStatus::Disabled, at(20)).await.unwrap();
            store.list(&listing).await.unwrap().len()
        };
        let (created, seen) = join(create, off).await;
        for created in created {
            assert!(matches!(created.unwrap(), Created::New(_) | Created::AgentDisabled), "{round}");
        }
        assert_eq!(store.list(&listing).await.unwrap().len(), seen, "{round}");
        store.set_agent_status(&orders, AgentStatus::Active, at(30)).await.unwrap();
    }
}
