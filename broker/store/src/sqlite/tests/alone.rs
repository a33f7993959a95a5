//! A change that has a transaction to itself begins and ends in its own texts.

use super::*;

#[tokio::test]
async fn what_fails_or_panics_is_undone_and_the_next_change_is_made() {
    let (store, _folder) = in_file().await;
    let panicking = store.write::<(), _>(|connection| {
        Box::pin(async move {
            sqlx::query("UPDATE pulse SET beats = 1000").execute(connection).await?;
            panic!("a mistake of ours")
        })
    });
    assert!(matches!(panicking.await, Err(StoreError::Unavailable(_))));
    let failing = store.write::<(), _>(|connection| {
        Box::pin(async move {
            sqlx::query("UPDATE pulse SET beats = 1000").execute(connection).await?;
            Err(crate::faults::corrupt("a row", "unreadable"))
        })
    });
    assert!(matches!(failing.await, Err(StoreError::Corrupt { .. })));
    assert_eq!(number(&store, "SELECT beats FROM pulse").await, 0);
    create(&store, 1).await.unwrap();
    assert!(is_there(&store, 1).await);
}

#[tokio::test]
async fn if_its_last_text_fails_nothing_of_it_is_kept() {
    let (store, _folder) = in_file().await;
    let failing = store.change(|mut change| {
        Box::pin(async move {
            let mut text = change.text();
            // The broken reference is found by the commit.
            text.push("PRAGMA defer_foreign_keys = ON; UPDATE pulse SET beats = 1000; ");
            text.push("INSERT INTO needs VALUES ('', 999); ");
            change.run_last(text).await?;
            Ok(())
        })
    });
    failing.await.unwrap_err();
    assert_eq!(number(&store, "SELECT beats FROM pulse").await, 0);
    create(&store, 1).await.unwrap();
}

#[tokio::test]
async fn rows_that_came_since_a_grant_was_read_do_not_stop_its_change() {
    let (store, _folder) = in_file().await;
    let before = create(&store, 1).await.unwrap();
    let now = Timestamp::from_secs(1001);
    let event = NewEvent::new(now, protocol::EventKind::Retry, "same request again");
    store.add_events(&before.grant.id, &[event]).await.unwrap();
    let moved = before.grant.clone().activate(now, "token issued").unwrap();
    let SaveOutcome::Done(after) = store.save(&before, &moved, Guard::Version, None).await.unwrap() else {
        panic!("expected no conflict")
    };
    assert_eq!(after.version, before.version + 1);
    assert!(is_there(&store, 1).await);
    let conflict = store.save(&before, &moved, Guard::Version, None).await.unwrap();
    assert!(matches!(conflict, SaveOutcome::Conflict));
    assert!(is_there(&store, 1).await);
}
