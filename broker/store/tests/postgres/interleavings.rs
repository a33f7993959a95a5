//! Tests that a grant and a change of what its decision was made from wait for one another.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::DecisionKind;
use futures_util::future::join;
use postgres_for_tests::PASSWORD;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use store::{Created, NewDecision, Postgres, Store};

use crate::conformance::deciding::context;
use crate::conformance::fixtures::{
    accepted, active, at, decision, grant_id, registered, request, rules_changed, statement,
};
use crate::fresh::{database, open, server};

const ABOUT: &str = "agent/orders";

/// A store, and the connection of another broker.
async fn both() -> (Postgres, PgConnection) {
    let (name, place) = database();
    let store = open(&place).await;
    registered(&store, "orders", "t1", 10).await;
    let options: PgConnectOptions = server().url(&name).parse().unwrap();
    (store, options.password(PASSWORD).connect().await.unwrap())
}

async fn run(other: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(other).await.unwrap();
}

/// Runs a call of the store, and commits the transaction of the other broker when the call waits for it, or has not waited.
async fn meanwhile<T>(other: &mut PgConnection, call: impl Future<Output = T>) -> T {
    let answered = AtomicBool::new(false);
    let call = async {
        let answer = call.await;
        answered.store(true, Ordering::SeqCst);
        answer
    };
    join(call, commit_when_waited_for(other, &answered)).await.0
}

async fn commit_when_waited_for(other: &mut PgConnection, answered: &AtomicBool) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while !answered.load(Ordering::SeqCst)
        && sqlx::query(waiting).fetch_one(&mut *other).await.unwrap().get::<i64, _>(0) == 0
    {}
    run(other, "COMMIT").await;
}

#[tokio::test]
async fn a_grant_waits_for_a_change_and_is_refused() {
    for change in [
        "SELECT pg_advisory_xact_lock(1, 0);
         INSERT INTO rules_history (version, at, author, action, rollout) VALUES (1, 0, 'on-call', 'apply', '[]')",
        "SELECT pg_advisory_xact_lock(2, hashtext('agent/orders'));
         INSERT INTO posture (subject, source, ok, as_of, expires_at, received_at)
         VALUES ('agent/orders', 'edr', 0, 0, 9000000, 0)",
    ] {
        let (store, mut other) = both().await;
        let (decision, context) =
            (decision(DecisionKind::Elevate, "orders", 1000), context(&store, "orders", None, &[ABOUT]).await);
        let new = NewDecision {
            decision: &decision,
            context: &context,
            reevaluate_at: None,
            check_run: false,
            check_posture: true,
        };
        run(&mut other, &format!("BEGIN; {change}")).await;
        let wanted = accepted(request("orders", 1));
        let creating = store.create_grant(&wanted, None, None, None, Some(&new));
        let created = meanwhile(&mut other, creating).await;
        assert!(matches!(created, Ok(Created::ContextChanged)), "{change}: {created:?}");
        assert!(store.decisions_after(0, store::DecisionFilter::default(), 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_change_waits_for_a_grant_and_marks_it() {
    for is_of_rules in [true, false] {
        let (store, mut other) = both().await;
        let pattern = active(&store, "orders", 1, None).await.grant.id;
        let created = format!(
            "BEGIN; SELECT locked_versions (ARRAY['{ABOUT}']);
             INSERT INTO grants (id, agent_id, status, version, body)
             SELECT '{id}', agent_id, status, version, replace(body, id, '{id}') FROM grants WHERE id = '{pattern}'",
            id = grant_id(2)
        );
        run(&mut other, &created).await;
        let changing = async {
            if is_of_rules {
                rules_changed(&store, 0, 1000).await;
            } else {
                store.put_posture(&statement("edr", ABOUT, false, 900), at(1000)).await.unwrap();
            }
        };
        meanwhile(&mut other, changing).await;
        let marked = store.grant(&grant_id(2)).await.unwrap().unwrap();
        assert!(marked.reevaluation.is_some(), "rules: {is_of_rules}");
    }
}
