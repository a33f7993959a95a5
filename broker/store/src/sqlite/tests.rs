use futures_util::future::join_all;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, QueryBuilder, Row};
use tempfile::TempDir;

use super::*;
use crate::test_fixtures::{accepted, ended, sharing};
use crate::{EventFilter, Only, OriginFilter};

mod alone;
mod credentials;
mod decision_plans;

async fn create(store: &Sqlite, number: u64) -> Result<GrantRecord, StoreError> {
    match store.create_grant(&accepted(number), None, None, None, None).await? {
        Created::New(stored) => Ok(stored),
        other @ (Created::Joined(_)
        | Created::KeyConflict
        | Created::AgentDisabled
        | Created::KeyRevoked
        | Created::Replayed
        | Created::TooManyActive
        | Created::ContextChanged) => panic!("expected a new grant, found {other:?}"),
    }
}

async fn is_there(store: &Sqlite, number: u64) -> bool {
    let id = accepted(number).grant.id;
    let (grant, rows) = (store.grant(&id).await.unwrap(), store.events(&id).await.unwrap());
    assert_eq!(grant.is_some(), audit::is_intact(&id, &rows), "a grant and its timeline, or neither");
    assert!(grant.is_some() || rows.is_empty());
    grant.is_some()
}

async fn in_file() -> (Sqlite, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(SqlitePath::File(folder.path().join("jit.db"))).await.unwrap();
    (store, folder)
}

async fn run(store: &Sqlite, statement: String) {
    let run = store.write(move |connection| {
        Box::pin(async move {
            sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
            Ok(())
        })
    });
    run.await.unwrap();
}

async fn number(store: &Sqlite, query: &'static str) -> i64 {
    let number = store.write(move |connection| {
        Box::pin(async move { Ok(sqlx::query(query).fetch_one(connection).await?.try_get(0)?) })
    });
    number.await.unwrap()
}

#[tokio::test]
async fn a_full_disk_fails_whole_changes_until_there_is_space() {
    let (store, _folder) = in_file().await;
    create(&store, 0).await.unwrap();
    let pages = number(&store, "PRAGMA page_count").await;
    run(&store, format!("PRAGMA max_page_count = {}", pages + 8)).await;

    let mut kept = 1;
    while let Ok(stored) = create(&store, kept).await {
        assert_eq!(stored.version, 1);
        kept += 1;
        assert!(kept < 1000, "expected the space to end");
    }
    let wanted = kept..kept + 100;
    for (number, result) in join_all(wanted.clone().map(async |n| (n, create(&store, n).await))).await {
        match result {
            Ok(_) => assert!(is_there(&store, number).await, "{number}"),
            Err(StoreError::Unavailable(_)) => assert!(!is_there(&store, number).await, "{number}"),
            Err(error @ StoreError::Corrupt { .. }) => panic!("{number}: {error}"),
        }
    }
    for number in 0..kept {
        assert!(is_there(&store, number).await, "{number}");
    }

    run(&store, "PRAGMA max_page_count = 1000000".to_owned()).await;
    for number in wanted {
        if !is_there(&store, number).await {
            create(&store, number).await.unwrap();
        }
    }
    assert_eq!(
        number(&store, "SELECT sum(grants) FROM grant_counts").await,
        i64::try_from(kept).unwrap() + 100
    );
}

#[tokio::test]
async fn a_lock_of_another_process_blocks_writes_but_not_reads() {
    let (store, folder) = in_file().await;
    create(&store, 1).await.unwrap();
    run(&store, "PRAGMA busy_timeout = 0".to_owned()).await;
    let mut other =
        SqliteConnectOptions::new().filename(folder.path().join("jit.db")).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();

    assert!(matches!(create(&store, 2).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(is_there(&store, 1).await && !is_there(&store, 2).await);

    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    store.ping().await.unwrap();
    create(&store, 2).await.unwrap();
}

/// Without checkpoints the log would grow with each change.
#[tokio::test]
async fn the_log_stays_short_under_continuous_writes() {
    let (store, folder) = in_file().await;
    let mut lengths = vec![0];
    for _ in 0..20 {
        for _ in 0..500 {
            run(&store, "UPDATE meta SET write_probe = write_probe + 1".to_owned()).await;
        }
        let length = std::fs::metadata(folder.path().join("jit.db-wal")).unwrap().len();
        if lengths.last() == Some(&length) {
            return;
        }
        lengths.push(length);
    }
    panic!("it gets longer and longer: {lengths:?}");
}

/// One thread polls every caller before the writer, so that they are one batch.
#[tokio::test]
async fn a_failed_commit_fails_every_change_of_the_batch() {
    let (store, _folder) = in_file().await;
    let bad = async {
        store
            .write(|connection| {
                Box::pin(async move {
                    // Leaves a broken reference for the commit to find.
                    sqlx::query(
                        "PRAGMA defer_foreign_keys = ON;
                         INSERT INTO shared_object_refs VALUES ('', 999)",
                    )
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    };
    let good = join_all((0..10).map(|n| create(&store, n)));
    let (good, bad) = futures_util::future::join(good, bad).await;
    assert!(matches!(bad, Err(StoreError::Unavailable(_))));
    for result in good {
        assert!(matches!(result, Err(StoreError::Unavailable(_))));
    }
    for number in 0..10 {
        assert!(!is_there(&store, number).await, "{number}");
        create(&store, number).await.unwrap();
    }
}

#[tokio::test]
async fn a_panic_fails_one_change_and_not_the_writer() {
    let (store, _folder) = in_file().await;
    let panicking = store.write::<(), _>(|connection| {
        Box::pin(async move {
            sqlx::query("UPDATE meta SET write_probe = 1000").execute(connection).await?;
            panic!("a mistake of ours")
        })
    });
    let good = join_all((0..10).map(|n| create(&store, n)));
    let (panicked, good) = futures_util::future::join(panicking, good).await;
    assert!(matches!(panicked, Err(StoreError::Unavailable(_))));
    for result in good {
        result.unwrap();
    }
    assert_eq!(number(&store, "SELECT write_probe FROM meta").await, 0);
    store.ping().await.unwrap();
}

/// A broker that restarts after a crash reads them; a call is sent only after `create_grant` has answered.
#[tokio::test]
async fn steps_are_on_record_as_long_as_their_grant() {
    let (store, _folder) = in_file().await;
    let steps = async || {
        let every = "SELECT count(*) FROM grants, json_each(body, '$.steps') WHERE json_extract(value, '$.object') = grants.id";
        number(&store, every).await
    };
    let (first, mut second) = (create(&store, 1).await.unwrap(), create(&store, 2).await.unwrap());
    assert_eq!(steps().await, 2);
    let transition = first.grant.clone().activate(Timestamp::from_secs(1001), "token issued").unwrap();
    store.save(&first, &transition, Precondition::Version, None).await.unwrap();
    ended(&store, &mut second, true).await;
    assert_eq!(steps().await, 2);
}

#[tokio::test]
async fn references_are_deleted_with_the_final_transition() {
    let (store, _folder) = in_file().await;
    let needs = async || number(&store, "SELECT count(*) FROM shared_object_refs").await;
    for (number, last_row_is_known) in [(1, true), (2, false)] {
        let Created::New(mut stored) =
            store.create_grant(&sharing(number), None, None, None, None).await.unwrap()
        else {
            panic!("expected a new grant")
        };
        assert_eq!(needs().await, 1);
        ended(&store, &mut stored, last_row_is_known).await;
        assert_eq!(needs().await, 0, "{last_row_is_known}");
    }
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let (store, folder) = in_file().await;
    run(&store, "INSERT INTO _sqlx_migrations VALUES (7, 'later', 0, true, x'00', 0)".to_owned()).await;
    drop(store);
    let error = Sqlite::open(SqlitePath::File(folder.path().join("jit.db"))).await.unwrap_err();
    assert_eq!(error.to_string(), "the database has tables of version 7: expected 1 or less");
    assert!(error.hint().contains("newer broker"));
}

async fn plan(store: &Sqlite, query: &str) -> Vec<String> {
    let query = format!("EXPLAIN QUERY PLAN {query}");
    let plan = store.write(move |connection| {
        Box::pin(async move {
            let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(connection).await?;
            let lines: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get("detail")).collect();
            Ok(lines?)
        })
    });
    plan.await.unwrap()
}

#[tokio::test]
async fn queries_over_grants_use_an_index() {
    let (store, _folder) = in_file().await;
    let listing = |live, agent: Option<&str>, after| {
        let agent = agent.map(|agent| agent.parse().unwrap());
        listing::query(&Listing { live, agent, after, limit: 10, ..Listing::default() }).into_string()
    };
    let some = || Some(accepted(1).grant.id);
    let only = |only, after| {
        let only = Some(only);
        listing::query(&Listing { only, after, limit: 10, ..Listing::default() }).into_string()
    };
    let from = |origin| {
        listing::query(&Listing { origin, after: some(), limit: 10, ..Listing::default() }).into_string()
    };
    let any = OriginFilter::default();
    let text = || Some("a".to_owned());
    let mut known = QueryBuilder::new("");
    create::push_known(&mut known, &accepted(1).grant, None, None);
    let counted = |run: Option<&str>| {
        let mut text = QueryBuilder::new("SELECT ");
        let grant = domain::Grant { run: run.map(str::to_owned), ..accepted(1).grant };
        create::push_too_many(&mut text, &grant, std::num::NonZeroU32::MIN);
        text.into_string()
    };
    let by_row = "SEARCH grants USING INTEGER PRIMARY KEY (rowid<?)";
    let of_agent = "SEARCH grants USING INDEX grants_of_agent ";
    let of_life = "SEARCH grants USING INDEX grants_final ";
    let of_both = "SEARCH grants USING INDEX grants_final_of_agent ";
    for (query, expected) in [
        (listing(None, None, None), vec!["SCAN grants"]),
        (listing(None, None, some()), vec![by_row]),
        (only(Only::Waiting, None), vec!["SEARCH grants USING INDEX grants_waiting (status=?)"]),
        (
            only(Only::Waiting, some()),
            vec!["SEARCH grants USING INDEX grants_waiting (status=? AND rowid<?)"],
        ),
        (
            only(Only::BreakGlass, some()),
            vec!["SEARCH grants USING INDEX grants_break_glass (break_glass=? AND rowid<?)"],
        ),
        (
            from(OriginFilter { repository: text(), ..any.clone() }),
            vec![
                "SEARCH grant_origins USING COVERING INDEX grant_origins_repository (repository=? AND rowid<?)",
            ],
        ),
        (
            from(OriginFilter { actor: text(), ..any.clone() }),
            vec!["SEARCH grant_origins USING COVERING INDEX grant_origins_actor (actor=? AND rowid<?)"],
        ),
        (
            from(OriginFilter { from: Some(Timestamp::from_secs(0)), ..any }),
            vec![
                "SEARCH grant_origins USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
                "SEARCH grant_origins USING COVERING INDEX grant_origins_created (created_at<?)",
            ],
        ),
        (listing(Some(true), None, None), vec![of_life]),
        (listing(Some(false), None, some()), vec![of_life]),
        (listing(None, Some("a"), None), vec![of_agent]),
        (listing(None, Some("a"), some()), vec![of_agent]),
        (listing(Some(true), Some("a"), None), vec![of_both]),
        (listing(Some(true), Some("a"), some()), vec![of_both]),
        (
            grants::BY_KEY.to_owned(),
            vec!["SEARCH grants USING INDEX grants_by_key (agent_id=? AND idem_key=?)"],
        ),
        (known.into_string(), vec!["grants USING INDEX grants_by_key (agent_id=? AND idem_key=?)"]),
        (
            counted(Some("a")),
            vec!["USING COVERING INDEX grants_active_of_run (agent_id=? AND status=? AND run=?)"],
        ),
        (counted(None), vec!["USING COVERING INDEX grants_active_of_run (agent_id=? AND status=?)"]),
        (
            timeline::after_position(EventFilter::All).to_owned(),
            vec!["SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"],
        ),
        (
            timeline::after_position(EventFilter::ForPersons).to_owned(),
            vec!["SEARCH events USING INDEX events_for_persons (position>?)"],
        ),
        (
            due::CLAIM.to_owned(),
            vec![
                "SEARCH grants USING INDEX grants_due (due_at<?)",
                "SEARCH grants USING INDEX grants_lease (heartbeat_interval=? AND lease_expires_at<?)",
                "SEARCH grants USING COVERING INDEX grants_lease",
                "SEARCH grants USING COVERING INDEX grants_lease (heartbeat_interval>?)",
                "SEARCH grants USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
    ] {
        let plan = plan(&store, &query).await;
        for step in expected {
            assert!(plan.iter().any(|line| line.contains(step)), "expected {step:?} for {query}: {plan:#?}");
        }
        assert!(!plan.iter().any(|line| line.contains("FOR ORDER BY")), "{query}: {plan:#?}");
    }
}
