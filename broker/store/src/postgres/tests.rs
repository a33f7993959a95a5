//! Tests of retries, connections and query plans.

use std::sync::LazyLock;

use futures_util::FutureExt as _;
use postgres_for_tests::{PASSWORD, Server};
use sqlx::{AssertSqlSafe, Row};

use super::*;
use crate::OriginFilter;
use crate::test_fixtures::{ended, sharing};

async fn fresh() -> Postgres {
    fresh_at().await.0
}

async fn fresh_at() -> (Postgres, PostgresUrl) {
    static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
    let place = PostgresUrl::parse(&SERVER.database()).unwrap().with_password(PASSWORD);
    // On a loaded machine it takes long to open a connection.
    let wait = Duration::from_secs(120);
    let opening = Opening { place: &place, connections: 3, wait, pending: IfPending::Run };
    (Postgres::open(opening).await.unwrap(), place)
}

async fn run(store: &Postgres, statement: String) -> Result<(), StoreError> {
    let run = store.run(statement, |connection, statement| {
        Box::pin(async move {
            sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(connection).await?;
            Ok(())
        })
    });
    run.await
}

/// Fails this many times with this code, and counts.
fn failing(times: u32, code: &str) -> String {
    format!(
        "DO $$ BEGIN IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF; END $$"
    )
}

#[tokio::test]
async fn deadlocks_and_serialization_failures_are_retried() {
    for (times, code, done, tries) in [
        (3, "40001", true, 4),
        (5, "40P01", true, 6),
        (100, "40001", false, 6),
        (100, "23505", false, 1),
        (100, "57014", false, 1),
    ] {
        let store = fresh().await;
        run(&store, "CREATE SEQUENCE tries".to_owned()).await.unwrap();
        let outcome = run(&store, failing(times, code)).await;
        assert_eq!(outcome.is_ok(), done, "{code}: {outcome:?}");
        let asked = store.run((), |connection, ()| {
            Box::pin(async move {
                let row = sqlx::query("SELECT last_value FROM tries").fetch_one(connection).await?;
                Ok(row.try_get::<i64, _>(0)?)
            })
        });
        assert_eq!(asked.await.unwrap(), tries, "{code}");
    }
}

#[tokio::test]
async fn references_are_deleted_with_the_final_transition() {
    let store = fresh().await;
    let needs = async || {
        let asked = store.run((), |connection, ()| {
            Box::pin(async move {
                let row =
                    sqlx::query("SELECT count(*) FROM shared_object_refs").fetch_one(connection).await?;
                Ok(row.try_get::<i64, _>(0)?)
            })
        });
        asked.await.unwrap()
    };
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
async fn the_server_times_out_before_the_client() {
    let store = fresh().await;
    for (name, expected) in [
        ("lock_timeout", "5s"),
        ("statement_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("transaction_isolation", "read committed"),
    ] {
        let found = store.run(name, |connection, name| {
            Box::pin(async move {
                let show = AssertSqlSafe(format!("SHOW {name}"));
                Ok(sqlx::query(show).fetch_one(connection).await?.try_get::<String, _>(0)?)
            })
        });
        assert_eq!(found.await.unwrap(), expected, "{name}");
    }
}

async fn backend(store: &Postgres) -> i32 {
    let asked = store.run((), |connection, ()| {
        Box::pin(async move {
            Ok(sqlx::query("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get::<i32, _>(0)?)
        })
    });
    asked.await.unwrap()
}

#[tokio::test]
async fn a_connection_is_reused_unless_its_future_was_dropped() {
    let store = fresh().await;
    let first = backend(&store).await;
    run(&store, failing(0, "40001")).await.unwrap_err();
    assert_eq!(backend(&store).await, first, "an error that was answered is an answer");
    let left = run(&store, "SELECT pg_sleep(9)".to_owned()).now_or_never();
    assert!(left.is_none(), "it was answered before it was left");
    assert_ne!(backend(&store).await, first);
}

/// Tables are nearly empty here, so sequential scans must be disabled for the planner to choose an index.
async fn plan(store: &Postgres, query: &str) -> String {
    let plan = store.run(format!("EXPLAIN {query}"), |connection, query| {
        Box::pin(async move {
            sqlx::raw_sql("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
                .execute(&mut *connection)
                .await?;
            let rows = sqlx::raw_sql(AssertSqlSafe(query.clone())).fetch_all(connection).await?;
            let lines: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
            Ok(lines?.join("\n"))
        })
    });
    plan.await.unwrap()
}

#[tokio::test]
async fn queries_over_grants_use_an_index() {
    let store = fresh().await;
    let with = |mut query: String, values: &[&str]| {
        for (number, value) in values.iter().enumerate().rev() {
            query = query.replace(&format!("${}", number + 1), value);
        }
        query
    };
    let listing = |live, agent: Option<&str>| {
        let limits = if agent.is_some() { &["'a'", "10"][..] } else { &["10"] };
        let agent = agent.map(|agent| agent.parse().unwrap());
        with(listing::query(&Listing { live, agent, limit: 10, ..Listing::default() }).into_string(), limits)
    };
    let from = |origin, values: &[&str]| {
        with(listing::query(&Listing { origin, limit: 10, ..Listing::default() }).into_string(), values)
    };
    let (any, text) = (OriginFilter::default(), || Some("a".to_owned()));
    for (query, expected) in [
        (
            from(OriginFilter { repository: text(), ..any.clone() }, &["'a'", "10"]),
            vec!["using grant_origins_repository on grant_origins"],
        ),
        (
            from(OriginFilter { actor: text(), ..any }, &["'a'", "10"]),
            vec!["using grant_origins_actor on grant_origins"],
        ),
        (listing(None, None), vec!["grants_pkey on grants"]),
        (listing(Some(true), None), vec!["using grants_live on grants"]),
        (listing(None, Some("a")), vec!["using grants_of_agent on grants"]),
        (listing(Some(true), Some("a")), vec!["using grants_live_of_agent on grants"]),
        (
            with(due::CLAIM.to_owned(), &["1000", "64", "3", "900", "2000"]),
            vec!["using grants_due on grants", "using grants_lease on grants"],
        ),
        (
            with(due::CLAIM.to_owned(), &["1000", "64", "3", "900", "2000"]),
            vec!["using grants_to_reevaluate on grants"],
        ),
        (
            with(context::READ.to_owned(), &["'a'", "'b'", "ARRAY['agent/a']", "1000", "'c'", "900"]),
            vec![
                "using grants_active_of_run on grants",
                // Over empty tables the two indexes of recent grants cost the same.
                "using grants_recent_of_run on grants",
                "using posture_pkey on posture",
            ],
        ),
        (with(marks::EVERY_LIVE.to_owned(), &["1000"]), vec!["using grants_live on grants"]),
        (with(marks::OF_AGENT.to_owned(), &["1000", "'a'"]), vec!["on grants"]),
        (with(marks::WITH_FACT.to_owned(), &["1000", "'a'"]), vec!["using grants_live on grants"]),
        (with(decisions::FORGET.to_owned(), &["1000", "500"]), vec!["using decisions_by_time on decisions"]),
        (
            with(decisions::OLDEST_DRY_RUNS.to_owned(), &["'a'", "1000"]),
            vec!["using decisions_dry_runs on decisions"],
        ),
        (
            with(tail::after_position(EventFilter::All).to_owned(), &["5", "10", "99"]),
            vec!["using events_position_key on events"],
        ),
        (
            with(tail::after_position(EventFilter::ForPersons).to_owned(), &["5", "10", "99"]),
            vec!["using events_for_persons on events"],
        ),
        (
            with(create::ACTIVE_BESIDE.to_owned(), &["'a'", "'b'"]),
            vec!["using grants_active_of_run on grants"],
        ),
        (
            with(create::ACTIVE_BESIDE.to_owned(), &["'a'", "''"]),
            vec!["using grants_active_of_run on grants"],
        ),
    ] {
        let plan = plan(&store, &query).await;
        for step in expected {
            assert!(plan.contains(step), "expected {step:?} for {query}:\n{plan}");
        }
        assert!(!plan.contains("Seq Scan on grants"), "{query}:\n{plan}");
    }
}

/// Position 1 belongs to a transaction that is still open when the events behind it are committed.
#[tokio::test]
async fn a_reader_waits_for_open_transactions_that_have_lower_positions() {
    for (end, missing) in [("COMMIT", 0), ("ROLLBACK", 1)] {
        let (store, place) = fresh_at().await;
        let mut other = sqlx::ConnectOptions::connect(&place.options()).await.unwrap();
        sqlx::raw_sql(
            "BEGIN; INSERT INTO events (grant_number, seq, at, kind, source, text, data, prev_hash, hash)
             VALUES (1, 99, 0, 'action', 'client', 'late', '{}', '', '')",
        )
        .execute(&mut other)
        .await
        .unwrap();
        let Created::New(first) = store.create_grant(&sharing(1), None, None, None, None).await.unwrap()
        else {
            panic!("expected a new grant")
        };
        let end_when_waited_for = async {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                           WHERE datname = current_database() AND query LIKE '%virtualtransaction = ANY%'
                             AND pid <> pg_backend_pid()";
            // In a transaction, PostgreSQL shows the activity of its first look until the snapshot is cleared.
            let refresh = "SELECT pg_stat_clear_snapshot()";
            loop {
                sqlx::raw_sql(refresh).execute(&mut other).await.unwrap();
                if sqlx::query(waiting).fetch_one(&mut other).await.unwrap().get::<i64, _>(0) > 0 {
                    break;
                }
            }
            sqlx::raw_sql(AssertSqlSafe(end)).execute(&mut other).await.unwrap();
        };
        let reading = store.events_after(EventPosition::START, EventFilter::All, 10);
        let (read, ()) = futures_util::future::join(reading, end_when_waited_for).await;
        let read: Vec<i64> = read.unwrap().iter().map(|one| one.position.as_number()).collect();
        let count = i64::try_from(store.events(&first.grant.id).await.unwrap().len()).unwrap();
        assert_eq!(
            read,
            (1 + missing..=if missing == 0 { count } else { count + 1 }).collect::<Vec<_>>(),
            "{end}"
        );
    }
}
