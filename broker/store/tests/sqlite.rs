//! Runs the conformance suite on SQLite, and tests of the database file.

#[cfg(test)]
mod conformance;

use std::fs;

use conformance::conformance;
use conformance::fixtures::{accepted, active, agent_id, at, end, key, lease, registered, request};
use fresh::in_file;
use store::{OpenError, Sqlite, SqlitePath, Store};

#[cfg(test)]
mod fresh {
    use std::path::Path;

    use store::{Sqlite, SqlitePath};

    use crate::conformance::Fresh;

    pub(crate) async fn in_file(path: &Path) -> Sqlite {
        Sqlite::open(SqlitePath::File(path.to_owned())).await.unwrap()
    }

    pub(crate) async fn on_disk() -> Fresh {
        let folder = tempfile::tempdir().unwrap();
        let store = in_file(&folder.path().join("jit.db")).await;
        Fresh { store: Box::new(store), keeps: Box::new(folder) }
    }

    pub(crate) async fn memory() -> Fresh {
        Fresh { store: Box::new(Sqlite::open(SqlitePath::Memory).await.unwrap()), keeps: Box::new(()) }
    }
}

mod file {
    crate::conformance! { crate::fresh::on_disk }
}

mod in_memory {
    crate::conformance! { crate::fresh::memory }
}

#[test]
fn leases_are_lost_when_the_domain_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fresh = runtime.block_on(fresh::memory());
    conformance::due::leases_are_lost_when_the_domain_says(&runtime, &*fresh.store);
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jit.db");
    let store = in_file(&path).await;
    registered(&store, "orders", "t1", 10).await;
    let live = active(&store, "orders", 1, Some(lease(1000))).await;
    let over = end(&store, &active(&store, "orders", 2, None).await).await;
    store.revoke_key(&agent_id("orders"), &key(3), at(2000)).await.unwrap();
    let rows = store.events(&over.grant.id).await.unwrap();
    drop(store);

    let store = in_file(&path).await;
    for before in [live, over.clone()] {
        let after = store.grant(&before.grant.id).await.unwrap().unwrap();
        assert_eq!((after.grant, after.lease, after.version), (before.grant, before.lease, before.version));
    }
    let after = store.events(&over.grant.id).await.unwrap();
    assert!(audit::is_intact(&over.grant.id, &after));
    assert_eq!(after, rows);
    assert!(store.credential("t1").await.unwrap().is_some());
}

/// A copy of the files, without closing the store, has everything that was answered.
#[tokio::test]
async fn answered_changes_are_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_file(&folder.path().join("jit.db")).await;
    let made = active(&store, "orders", 1, None).await;
    let copy = tempfile::tempdir().unwrap();
    for name in ["jit.db", "jit.db-wal"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let other = in_file(&copy.path().join("jit.db")).await;
    let found = other.grant(&made.grant.id).await.unwrap().unwrap();
    assert_eq!(found.grant, made.grant);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let store = in_file(&folder.path().join("jit.db")).await;
    store.ping().await.unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["jit.db", "jit.db-shm", "jit.db-wal", "jit.db.lock"]);
}

#[tokio::test]
async fn a_missing_folder_and_a_file_that_is_no_database_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").join("jit.db");
    let error = Sqlite::open(SqlitePath::File(missing.clone())).await.unwrap_err();
    assert!(matches!(&error, OpenError::File { path, .. } if *path == missing), "{error}");
    assert!(error.hint().contains("folder has to exist"));

    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a database at all, but long enough to be looked at ".repeat(20)).unwrap();
    let error = Sqlite::open(SqlitePath::File(text.clone())).await.unwrap_err();
    assert!(matches!(error, OpenError::Database(_)), "{error}");
    assert!(fs::read_to_string(text).unwrap().starts_with("not a database"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_broker_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jit.db");
    let store = in_file(&path).await;
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for way in [&path, &link] {
        let error = Sqlite::open(SqlitePath::File(way.clone())).await.unwrap_err();
        assert!(matches!(&error, OpenError::InUse { path } if path == way), "{error}");
        assert_eq!(
            error.to_string(),
            format!("the database `{}` is in use by another broker", way.display())
        );
        assert_eq!(error.hint(), "stop it first: one database file belongs to one broker");
    }
    store.ping().await.unwrap();
    drop(store);
    in_file(&path).await.ping().await.unwrap();
}

#[tokio::test]
async fn a_restart_waits_for_the_previous_broker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jit.db");
    let ending = in_file(&path).await;
    let (starting, ()) = tokio::join!(in_file(&path), async {
        tokio::task::yield_now().await;
        drop(ending);
    });
    starting.ping().await.unwrap();
}

#[tokio::test]
async fn a_removed_or_replaced_file_refuses_grants_and_allows_revokes() {
    for replaced in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jit.db");
        let store = in_file(&path).await;
        registered(&store, "orders", "t1", 10).await;
        let live = active(&store, "orders", 1, None).await;
        fs::remove_file(&path).unwrap();
        if replaced {
            fs::write(&path, "another").unwrap();
        }
        assert!(store.ping().await.is_err(), "ready, and nobody will find what is written");
        let given = accepted(request("orders", 2));
        assert!(store.create_grant(&given, None, None, None, None).await.is_err());
        end(&store, &live).await;
    }
}
