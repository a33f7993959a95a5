//! Every timeline is one unbroken chain.

use domain::NewEvent;
use futures_util::future::join_all;
use protocol::{EventKind, Source};
use store::{RETRIES_RECORDED, Store, StoreError};

use super::fixtures::{active, at, created, end, grant_id};

pub(crate) async fn events_are_chained_through_every_transition(store: &dyn Store) {
    let grant = active(store, "orders", 1, None).await;
    let other = created(store, "orders", 2, None).await.grant.id;
    let id = grant.grant.id.clone();
    let said = NewEvent::new(at(1002), EventKind::Action, "GET /orders · 200 \u{1f4e6}")
        .said_by(Source::Client)
        .with("path", "/orders?a=\"b\"");
    join_all((0..10).map(|_| store.add_events(&id, std::slice::from_ref(&said))))
        .await
        .into_iter()
        .for_each(Result::unwrap);
    store.add_events(&id, &[]).await.unwrap();
    end(store, &grant).await;

    let rows = store.events(&id).await.unwrap();
    assert!(audit::is_intact(&id, &rows));
    let kinds: Vec<_> = rows.iter().map(|row| row.kind).collect();
    assert_eq!(kinds[..3], [EventKind::Elevate, EventKind::PolicyCheck, EventKind::Target]);
    assert_eq!(kinds[3..13], [EventKind::Action; 10]);
    assert_eq!(kinds[13..], [EventKind::Revoke, EventKind::Revoked]);
    let row = &rows[3];
    assert_eq!((row.at, row.source, &row.text, &row.data), (said.at, said.source, &said.text, &said.data));
    assert!(audit::is_intact(&other, &store.events(&other).await.unwrap()));
}

pub(crate) async fn an_unknown_grant_has_no_timeline(store: &dyn Store) {
    let unknown = grant_id(1);
    assert!(store.events(&unknown).await.unwrap().is_empty());
    let row = NewEvent::new(at(1000), EventKind::Action, "nobody's");
    let refused = store.add_events(&unknown, &[row]).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Corrupt { what } if what.contains(unknown.as_str())), "{refused}");
}

pub(crate) async fn many_rows_at_once(store: &dyn Store) {
    let id = created(store, "orders", 1, None).await.grant.id;
    let rows: Vec<_> =
        (0..2500).map(|n| NewEvent::new(at(1000), EventKind::Action, format!("step {n}"))).collect();
    store.add_events(&id, &rows).await.unwrap();
    let found = store.events(&id).await.unwrap();
    assert!(audit::is_intact(&id, &found));
    assert_eq!((found.len(), found[2501].text.as_str()), (2502, "step 2499"));
}

pub(crate) async fn any_character_is_read_back(store: &dyn Store) {
    let id = created(store, "orders", 1, None).await.grant.id;
    let said = ["a\0b", "\\0", "\\\\\0", "\u{fffd}\u{10ffff}"]
        .map(|text| NewEvent::new(at(1000), EventKind::Action, text).with("name", text));
    store.add_events(&id, &said).await.unwrap();
    let found = store.events(&id).await.unwrap();
    assert!(audit::is_intact(&id, &found));
    for (row, said) in found[2..].iter().zip(&said) {
        assert_eq!((&row.text, &row.data), (&said.text, &said.data));
    }
}

pub(crate) async fn retries_are_recorded_up_to_a_limit(store: &dyn Store) {
    let stored = active(store, "orders", 1, None).await;
    let id = stored.grant.id.clone();
    let before = store.events(&id).await.unwrap().len();
    for _ in 0..3 {
        join_all((0..20).map(|n| {
            let id = &id;
            async move { store.add_retry(id, at(1002 + n)).await.unwrap() }
        }))
        .await;
    }
    let rows = store.events(&id).await.unwrap();
    assert_eq!(audit::verify(&stored.grant, &rows), Ok(()));
    assert_eq!(rows.len(), before + RETRIES_RECORDED as usize);
    let last = rows.last().unwrap();
    assert!(last.text.ends_with("further retries are not recorded"), "{}", last.text);
    assert!(!rows[rows.len() - 2].text.ends_with("not recorded"));
    store.add_retry(&grant_id(9), at(1002)).await.unwrap_err();
    end(store, &store.grant(&id).await.unwrap().unwrap()).await;
}
