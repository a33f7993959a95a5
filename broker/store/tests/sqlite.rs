//! Does SQLite keep what every store promises, and what a file promises beyond?

#[cfg(test)]
mod conformance;

use std::fs;

use conformance::conformance;
use conformance::given::{accepted, active, agent_id, at, end, key, lease, registered, request};
use fresh::in_file;
use store::{OpenError, Place, Sqlite, Store};

#[cfg(test)]
mod fresh {
    use std::path::Path;

    use store::{Place, Sqlite};

    use crate::conformance::Fresh;

    pub(crate) async fn in_file(path: &Path) -> Sqlite {
        Sqlite::open(Place::File(path.to_owned())).await.unwrap()
    }

    pub(crate) async fn on_disk() -> Fresh {
        let folder = tempfile::tempdir().unwrap();
        let store = in_file(&folder.path().join("jit.db")).await;
        Fresh { store: Box::new(store), keeps: Box::new(folder) }
    }

    pub(crate) async fn memory() -> Fresh {
        Fresh { store: Box::new(Sqlite::open(Place::Memory).await.unwrap()), keeps: Box::new(()) }
    }
}

mod file {
    crate::conformance! { crate::fresh::on_disk }
}

mod in_memory {
    crate::conformance! { crate::fresh::memory }
}

#[test]
fn silence_is_what_the_lease_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fresh = runtime.block_on(fresh::memory());
    conformance::due::silence_is_what_the_lease_says(&runtime, &*fresh.store);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jit.db");
    let store = in_file(&path).await;
    registered(&store, "orders", "t1", 10).await;
    let live = active(&store, "orders", 1, Some(lease(1000))).await;
    let over = end(&store, &active(&store, "orders", 2, None).await).await;
    store.give_key_back(&agent_id("orders"), &key(3), at(2000)).await.unwrap();
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

/// What is on disk when the answer is there is what another reader of the files sees, with nothing closed.
#[tokio::test]
async fn acknowledged_write_is_in_the_file() {
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
async fn only_its_owner_reads_the_files() {
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
async fn a_missing_folder_and_a_file_that_is_no_database_are_said_to_be_that() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").join("jit.db");
    let error = Sqlite::open(Place::File(missing.clone())).await.unwrap_err();
    assert!(matches!(&error, OpenError::File { path, .. } if *path == missing), "{error}");
    assert!(error.hint().contains("folder has to exist"));

    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a database at all, but long enough to be looked at ".repeat(20)).unwrap();
    let error = Sqlite::open(Place::File(text.clone())).await.unwrap_err();
    assert!(matches!(error, OpenError::Database(_)), "{error}");
    assert!(fs::read_to_string(text).unwrap().starts_with("not a database"));
}

#[cfg(unix)]
#[tokio::test]
async fn second_broker_on_one_database_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jit.db");
    let store = in_file(&path).await;
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for way in [&path, &link] {
        let error = Sqlite::open(Place::File(way.clone())).await.unwrap_err();
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
async fn a_start_that_overlaps_the_end_of_the_one_before_waits_for_it() {
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
async fn removed_or_replaced_file_is_refused_and_released() {
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
        assert!(store.create_grant(&given, None, None, None).await.is_err());
        end(&store, &live).await;
    }
}
