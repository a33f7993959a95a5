//! Sealed break-glass codes, and the list of what was taken.

use std::time::Duration;

use domain::{BreakGlass, ReplayGuard, SealedCode};
use futures_util::future::join_all;
use protocol::{Actor, BreakGlassCodeId};
use store::{Created, ListedCode, Listing, Only, SEALED_CODES_KEPT_FOR, Store};

use super::fixtures::{KEPT, accepted, at, grant_id, is_new, registered, request};

fn code(number: u8, expires: i64) -> SealedCode {
    SealedCode {
        id: BreakGlassCodeId::from_random([number; 6]),
        hash: format!("{number:064x}"),
        label: "safe \0 \u{1f4e6}".to_owned(),
        agents: vec!["orders-*".to_owned()],
        sealed_by: Actor::Operator { name: "on-call".parse().unwrap() },
        sealed_at: at(1000),
        expires_at: at(expires),
    }
}

fn guard(code: &SealedCode) -> ReplayGuard {
    ReplayGuard { token_hash: code.hash.clone(), bound_to: None, forget_after: at(10_000) }
}

pub(crate) async fn sealed_codes_are_listed_until_they_expire_and_found_by_hash(store: &dyn Store) {
    let (late, soon) = (code(1, 3000), code(2, 2000));
    store.add_sealed_codes(&[late.clone(), soon.clone()]).await.unwrap();
    let unused = |code: &SealedCode| ListedCode { code: code.clone(), used: false };
    assert_eq!(store.sealed_codes(at(1999)).await.unwrap(), [unused(&soon), unused(&late)]);
    assert_eq!(store.sealed_codes(at(2000)).await.unwrap(), [unused(&late)]);
    assert_eq!(store.sealed_code(&soon.hash).await.unwrap(), Some(soon.clone()), "also after its end");
    assert_eq!(store.sealed_code("other").await.unwrap(), None);
    assert_eq!(store.remove_sealed_code(&soon.id).await.unwrap(), Some(soon.clone()));
    assert_eq!(store.remove_sealed_code(&soon.id).await.unwrap(), None);
    assert_eq!(store.sealed_code(&soon.hash).await.unwrap(), None);
}

pub(crate) async fn a_code_whose_hash_is_known_is_not_sealed_and_nothing_with_it(store: &dyn Store) {
    store.add_sealed_codes(&[code(1, 3000)]).await.unwrap();
    let same = SealedCode { id: BreakGlassCodeId::from_random([9; 6]), ..code(1, 3000) };
    store.add_sealed_codes(&[code(2, 3000), same]).await.unwrap_err();
    assert_eq!(store.sealed_codes(at(1000)).await.unwrap().len(), 1);
}

pub(crate) async fn one_of_many_grants_consumes_a_code(store: &dyn Store) {
    registered(store, "deployer", "t1", 10).await;
    let code = code(1, 3000);
    store.add_sealed_codes(std::slice::from_ref(&code)).await.unwrap();
    let guard = guard(&code);
    let taking = (1..9).map(async |number| {
        let wanted = accepted(request("deployer", number));
        store.create_grant(&wanted, None, Some(&guard), None, None).await.unwrap()
    });
    let made = join_all(taking).await;
    assert_eq!(made.iter().filter(|made| matches!(made, Created::New(_))).count(), 1, "{made:?}");
    assert_eq!(made.iter().filter(|made| matches!(made, Created::Replayed)).count(), 7, "{made:?}");
    assert!(store.sealed_codes(at(1000)).await.unwrap()[0].used);
}

pub(crate) async fn expired_codes_are_forgotten_a_day_later(store: &dyn Store) {
    let code = code(1, 3000);
    store.add_sealed_codes(std::slice::from_ref(&code)).await.unwrap();
    let end = at(3000).plus(SEALED_CODES_KEPT_FOR);
    store.purge(end.minus(Duration::from_secs(1)), KEPT).await.unwrap();
    assert!(store.sealed_code(&code.hash).await.unwrap().is_some());
    store.purge(end, KEPT).await.unwrap();
    assert!(store.sealed_code(&code.hash).await.unwrap().is_none());
}

pub(crate) async fn grants_of_break_glass_are_listed_in_pages(store: &dyn Store) {
    registered(store, "deployer", "t1", 10).await;
    for number in 1..=6 {
        let mut terms = request("deployer", number);
        if number % 2 == 0 {
            let by = Actor::Operator { name: "on-call".parse().unwrap() };
            terms.break_glass = Some(Box::new(BreakGlass::new(by, "INC-1".to_owned(), at(1000))));
        }
        is_new(store.create_grant(&accepted(terms), None, None, None, None).await.unwrap());
    }
    let page = async |after, limit| {
        let listing = Listing { only: Some(Only::BreakGlass), after, limit, ..Listing::default() };
        let found = store.list(&listing).await.unwrap();
        assert!(found.iter().all(|record| record.grant.break_glass.is_some()));
        found.into_iter().map(|record| record.grant.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, [grant_id(6), grant_id(4)]);
    assert_eq!(page(Some(grant_id(4)), 2).await, [grant_id(2)]);
}
