//! Signing keys are stored and rotated.

use futures_util::future::join;
use protocol::Secret;
use store::{Store, StoredKey};

use super::fixtures::at;

fn made(kid: &str, created: i64) -> StoredKey {
    StoredKey {
        kid: kid.to_owned(),
        private_pem: Secret::new(format!("pem of {kid}")),
        created_at: at(created),
    }
}

async fn kids(store: &dyn Store) -> Vec<String> {
    store.signing_keys().await.unwrap().into_iter().map(|key| key.kid).collect()
}

pub(crate) async fn keys_are_read_back_oldest_first(store: &dyn Store) {
    assert!(kids(store).await.is_empty());
    assert!(store.add_signing_key(&made("b", 10), None).await.unwrap());
    assert!(store.add_signing_key(&made("a", 20), Some("b")).await.unwrap());
    let keys = store.signing_keys().await.unwrap();
    assert_eq!(
        (keys[0].kid.as_str(), keys[0].private_pem.reveal(), keys[0].created_at),
        ("b", "pem of b", at(10))
    );
    assert_eq!((keys[1].kid.as_str(), keys.len()), ("a", 2));
}

pub(crate) async fn two_concurrent_rotations_make_one_key(store: &dyn Store) {
    let mut newest: Option<String> = None;
    for round in 0..5 {
        let (one, other) = (made(&format!("one-{round}"), round), made(&format!("other-{round}"), round));
        let (first, second) = join(
            store.add_signing_key(&one, newest.as_deref()),
            store.add_signing_key(&other, newest.as_deref()),
        )
        .await;
        assert!(first.unwrap() != second.unwrap(), "one of them makes the key");
        newest = kids(store).await.pop();
    }
    assert_eq!(kids(store).await.len(), 5);
    assert!(!store.add_signing_key(&made("late", 9), None).await.unwrap());
}

pub(crate) async fn the_newest_key_is_never_removed(store: &dyn Store) {
    store.add_signing_key(&made("a", 10), None).await.unwrap();
    store.add_signing_key(&made("b", 20), Some("a")).await.unwrap();
    store.add_signing_key(&made("c", 30), Some("b")).await.unwrap();
    store.remove_signing_keys(at(20)).await.unwrap();
    assert_eq!(kids(store).await, ["b", "c"]);
    store.remove_signing_keys(at(1000)).await.unwrap();
    assert_eq!(kids(store).await, ["c"]);
}
