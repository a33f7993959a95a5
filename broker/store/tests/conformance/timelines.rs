//! Every timeline is one unbroken chain.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::NewEvent;
use futures_util::future::{join, join_all};
use protocol::{Actor, EventKind, Source};
use store::{EventFilter, EventPosition, PositionedEvent, RETRIES_RECORDED, Store, StoreError};

use super::fixtures::{active, at, created, end, grant_id};

pub(crate) async fn events_are_chained_through_every_transition(store: &dyn Store) {
    let grant = active(store, "orders", 1, None).await;
    let other = created(store, "orders", 2, None).await.grant.id;
    let id = grant.grant.id.clone();
    let said = NewEvent::new(at(1002), EventKind::Action, "GET /orders · 200 \u{1f4e6}")
        .said_by(Source::Client)
        .with("path", "/orders?a=\"b\"")
        .caused_by(Some(Actor::Operator { name: "on-call".parse().unwrap() }));
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
    assert_eq!((row.at, row.source, &row.actor), (said.at, said.source, &said.actor));
    assert_eq!((&row.text, &row.data), (&said.text, &said.data));
    assert!(audit::is_intact(&other, &store.events(&other).await.unwrap()));
}

/// Everything behind a position, in pages of a few.
async fn tail(store: &dyn Store, position: &mut EventPosition) -> Vec<PositionedEvent> {
    let mut all = Vec::new();
    loop {
        let page = store.events_after(*position, EventFilter::All, 7).await.unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { return all };
        *position = last.position;
        all.extend(page);
    }
}

pub(crate) async fn events_of_approvals_and_break_glass_are_read_by_themselves(store: &dyn Store) {
    let ordinary = active(store, "orders", 1, None).await;
    let event = |kind, text: &str| NewEvent::new(at(1000), kind, text);
    for (kind, text) in [
        (EventKind::Approval, "one"),
        (EventKind::Action, "two"),
        (EventKind::BreakGlass, "three"),
        (EventKind::Approval, "four"),
    ] {
        store.add_events(&ordinary.grant.id, &[event(kind, text)]).await.unwrap();
    }
    let read = async |position, limit| {
        let found = store.events_after(position, EventFilter::ForPersons, limit).await.unwrap();
        let texts = found.iter().map(|one| one.event.text.clone()).collect::<Vec<_>>();
        (texts, found.last().map(|one| one.position))
    };
    let (texts, last) = read(EventPosition::START, 2).await;
    assert_eq!(texts, ["one", "three"]);
    let (texts, last) = read(last.unwrap(), 2).await;
    assert_eq!(texts, ["four"]);
    assert_eq!(read(last.unwrap(), 2).await, (Vec::new(), None));
}

pub(crate) async fn events_of_all_grants_have_one_order(store: &dyn Store) {
    let mut position = EventPosition::START;
    assert!(tail(store, &mut position).await.is_empty());
    let first = active(store, "orders", 1, None).await;
    let second = created(store, "orders", 2, None).await;
    let events = tail(store, &mut position).await;
    let expected =
        [store.events(&first.grant.id).await.unwrap(), store.events(&second.grant.id).await.unwrap()];
    assert_eq!(events.into_iter().map(|one| one.event).collect::<Vec<_>>(), expected.concat());
    end(store, &first).await;
    let kinds: Vec<_> = tail(store, &mut position).await.iter().map(|one| one.event.kind).collect();
    assert_eq!(kinds, [EventKind::Revoke, EventKind::Revoked]);
    assert!(tail(store, &mut position).await.is_empty());
}

pub(crate) async fn a_reader_of_all_events_misses_none_while_they_are_written(store: &dyn Store) {
    let writing = AtomicBool::new(true);
    let write = async {
        join_all((0..40).map(async |number| {
            let grant = active(store, "orders", number, None).await;
            let said = NewEvent::new(at(1002), EventKind::Action, "GET /orders");
            join_all((0..3).map(|_| store.add_events(&grant.grant.id, std::slice::from_ref(&said)))).await;
            end(store, &grant).await;
        }))
        .await;
        writing.store(false, Ordering::SeqCst);
    };
    let read = async {
        let (mut position, mut all) = (EventPosition::START, Vec::new());
        loop {
            let is_last_time = !writing.load(Ordering::SeqCst);
            all.extend(tail(store, &mut position).await);
            if is_last_time {
                return all;
            }
        }
    };
    let ((), read) = join(write, read).await;
    assert!(read.is_sorted_by(|one, other| one.position < other.position));
    for number in 0..40 {
        let id = grant_id(number);
        let of_grant: Vec<_> = read.iter().filter(|one| one.event.grant_id == id).collect();
        let of_grant: Vec<_> = of_grant.into_iter().map(|one| one.event.clone()).collect();
        assert_eq!(of_grant, store.events(&id).await.unwrap());
    }
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
