//! Tests of changes that have a transaction of their own.

use super::*;

#[tokio::test]
async fn a_change_that_fails_or_panics_is_rolled_back() {
    let (store, _folder) = in_file().await;
    let panicking = store.write::<(), _>(|connection| {
        Box::pin(async move {
            sqlx::query("UPDATE meta SET write_probe = 1000").execute(connection).await?;
            panic!("a mistake of ours")
        })
    });
    assert!(matches!(panicking.await, Err(StoreError::Unavailable(_))));
    let failing = store.write::<(), _>(|connection| {
        Box::pin(async move {
            sqlx::query("UPDATE meta SET write_probe = 1000").execute(connection).await?;
            Err(crate::error::corrupt("a row", "unreadable"))
        })
    });
    assert!(matches!(failing.await, Err(StoreError::Corrupt { .. })));
    assert_eq!(number(&store, "SELECT write_probe FROM meta").await, 0);
    create(&store, 1).await.unwrap();
    assert!(is_there(&store, 1).await);
}

#[tokio::test]
async fn a_change_whose_last_text_fails_is_rolled_back() {
    let (store, _folder) = in_file().await;
    let failing = store.change(|mut change| {
        Box::pin(async move {
            let mut text = change.statement();
            // The commit finds the broken reference.
            text.push("PRAGMA defer_foreign_keys = ON; UPDATE meta SET write_probe = 1000; ");
            text.push("INSERT INTO shared_object_refs VALUES ('', 999); ");
            change.run_and_commit(text).await?;
            Ok(())
        })
    });
    failing.await.unwrap_err();
    assert_eq!(number(&store, "SELECT write_probe FROM meta").await, 0);
    create(&store, 1).await.unwrap();
}

#[tokio::test]
async fn events_appended_after_the_read_do_not_conflict() {
    let (store, _folder) = in_file().await;
    let before = create(&store, 1).await.unwrap();
    let now = Timestamp::from_secs(1001);
    let event = NewEvent::new(now, protocol::EventKind::Retry, "same request again");
    store.add_events(&before.grant.id, &[event]).await.unwrap();
    let transition = before.grant.clone().activate(now, "token issued").unwrap();
    let SaveOutcome::Done(after) =
        store.save(&before, &transition, Precondition::Version, None).await.unwrap()
    else {
        panic!("expected no conflict")
    };
    assert_eq!(after.version, before.version + 1);
    assert!(is_there(&store, 1).await);
    let conflict = store.save(&before, &transition, Precondition::Version, None).await.unwrap();
    assert!(matches!(conflict, SaveOutcome::Conflict));
    assert!(is_there(&store, 1).await);
}
