//! Sessions of persons.

use domain::Session;
use futures_util::future::join_all;
use store::{PendingSession, Store};

use super::fixtures::{KEPT, at, session};

async fn add(store: &dyn Store, code: &str, session: &Session) {
    let new = PendingSession { code_hash: code, challenge: "proof", session, code_expires_at: at(1120) };
    store.add_session(new).await.unwrap();
}

pub(crate) async fn a_code_is_exchanged_once_and_the_session_read_back(store: &dyn Store) {
    let alice = session("alice");
    add(store, "code", &alice).await;
    assert_eq!(store.session("code").await.unwrap(), None, "the code is no token");
    assert_eq!(store.exchange_code("code", "proof", "token", at(1001)).await.unwrap(), Some(alice.clone()));
    assert_eq!(store.exchange_code("code", "proof", "second", at(1002)).await.unwrap(), None);
    let stored = store.session("token").await.unwrap().unwrap();
    assert_eq!((stored.session, stored.last_used_at), (alice, at(1001)));
    assert_eq!(store.session("second").await.unwrap(), None);
}

pub(crate) async fn a_code_is_exchanged_in_time_and_with_its_challenge(store: &dyn Store) {
    add(store, "code", &session("alice")).await;
    assert_eq!(store.exchange_code("code", "other", "token", at(1001)).await.unwrap(), None);
    assert_eq!(store.exchange_code("other", "proof", "token", at(1001)).await.unwrap(), None);
    assert_eq!(store.exchange_code("code", "proof", "token", at(1120)).await.unwrap(), None);
    assert!(store.exchange_code("code", "proof", "token", at(1119)).await.unwrap().is_some());
}

pub(crate) async fn one_of_many_concurrent_exchanges_wins(store: &dyn Store) {
    add(store, "code", &session("alice")).await;
    let tokens: Vec<String> = (0..8).map(|number| format!("token-{number}")).collect();
    let exchanges = tokens.iter().map(|token| store.exchange_code("code", "proof", token, at(1001)));
    let won = join_all(exchanges).await.into_iter().filter(|won| won.as_ref().unwrap().is_some()).count();
    let known = join_all(tokens.iter().map(|token| store.session(token))).await;
    let known = known.into_iter().filter(|known| known.as_ref().unwrap().is_some()).count();
    assert_eq!((won, known), (1, 1));
}

pub(crate) async fn a_use_is_recorded_and_never_goes_back(store: &dyn Store) {
    add(store, "code", &session("alice")).await;
    store.exchange_code("code", "proof", "token", at(1001)).await.unwrap();
    for now in [2000, 1500] {
        store.session_used("token", at(now)).await.unwrap();
    }
    assert_eq!(store.session("token").await.unwrap().unwrap().last_used_at, at(2000));
    store.session_used("other", at(2000)).await.unwrap();
}

pub(crate) async fn a_removed_session_is_gone(store: &dyn Store) {
    for name in ["alice", "bob"] {
        add(store, name, &session(name)).await;
        store.exchange_code(name, "proof", &format!("{name}-token"), at(1001)).await.unwrap();
    }
    assert!(store.remove_session("alice-token").await.unwrap());
    assert!(!store.remove_session("alice-token").await.unwrap());
    assert_eq!(store.session("alice-token").await.unwrap(), None);
    assert!(store.session("bob-token").await.unwrap().is_some());
}

pub(crate) async fn open_sessions_are_listed_by_their_last_use(store: &dyn Store) {
    for name in ["alice", "bob", "carol"] {
        add(store, name, &session(name)).await;
    }
    for (name, used) in [("alice", 1500), ("bob", 2000)] {
        store.exchange_code(name, "proof", name, at(1001)).await.unwrap();
        store.session_used(name, at(used)).await.unwrap();
    }
    let subjects = async |now, limit| {
        let listed = store.sessions(at(now), limit).await.unwrap();
        listed.into_iter().map(|one| one.session.person.subject).collect::<Vec<_>>()
    };
    assert_eq!(subjects(2001, 10).await, ["bob", "alice"], "Carol's has no token yet");
    assert_eq!(subjects(2001, 1).await, ["bob"]);
    assert_eq!(subjects(5000, 10).await, [""; 0], "they have ended");
}

pub(crate) async fn every_session_of_a_person_is_removed(store: &dyn Store) {
    let mut elsewhere = session("alice");
    elsewhere.person.issuer = "https://other.example.com".to_owned();
    for (code, session) in [("one", session("alice")), ("two", session("alice")), ("bob", session("bob"))] {
        add(store, code, &session).await;
        store.exchange_code(code, "proof", code, at(1001)).await.unwrap();
    }
    add(store, "pending", &session("alice")).await;
    add(store, "elsewhere", &elsewhere).await;
    let issuer = "https://login.example.com";
    assert_eq!(store.remove_sessions_of(issuer, "alice").await.unwrap(), 3);
    assert_eq!(store.remove_sessions_of(issuer, "alice").await.unwrap(), 0);
    assert_eq!(store.session("one").await.unwrap(), None);
    assert_eq!(store.exchange_code("pending", "proof", "late", at(1002)).await.unwrap(), None);
    assert!(store.session("bob").await.unwrap().is_some());
    assert!(store.exchange_code("elsewhere", "proof", "there", at(1002)).await.unwrap().is_some());
}

pub(crate) async fn ended_and_pending_sessions_are_purged(store: &dyn Store) {
    for name in ["open", "pending"] {
        add(store, name, &session(name)).await;
    }
    store.exchange_code("open", "proof", "token", at(1001)).await.unwrap();
    store.purge(at(1120), KEPT).await.unwrap();
    assert_eq!(store.exchange_code("pending", "proof", "late", at(1100)).await.unwrap(), None);
    store.purge(at(4999), KEPT).await.unwrap();
    assert!(store.session("token").await.unwrap().is_some());
    store.purge(at(5000), KEPT).await.unwrap();
    assert_eq!(store.session("token").await.unwrap(), None);
}
