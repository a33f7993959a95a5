//! Tests a store whose server goes away and comes back.

use futures_util::future::join_all;
use postgres_for_tests::{PASSWORD, Server};
use store::postgres::PostgresUrl;
use store::{Store, StoreError};

use crate::conformance::fixtures::{active, end};
use crate::fresh::{database, open, server};

// On several threads, so that every connection is back in the pool before it is cut.
#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_are_replaced() {
    let (name, place) = database();
    let store = open(&place).await;
    let live = join_all((0..6).map(|number| active(&store, "orders", number, None))).await;
    server().query(
        "postgres",
        &format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"),
    );
    // The first statement fails, and no other statement uses a connection that was cut then. On a loaded machine the
    // connections may have been idle for so long that the first statement replaces its own.
    if let Err(error) = store.ping().await {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    }
    for stored in &live {
        end(&store, stored).await;
    }
}

#[tokio::test]
async fn answered_changes_survive_a_crash_of_the_server() {
    let mut own = Server::start();
    let place = PostgresUrl::parse(&own.database()).unwrap().with_password(PASSWORD);
    let store = open(&place).await;
    let live = active(&store, "orders", 1, None).await;
    own.crash();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    own.start_again();
    // The first statements find the old connections broken.
    while store.ping().await.is_err() {}
    let found = store.grant(&live.grant.id).await.unwrap().unwrap();
    assert_eq!((&found.grant, found.version), (&live.grant, live.version));
    let over = end(&store, &found).await;
    assert!(audit::is_intact(&over.grant.id, &store.events(&over.grant.id).await.unwrap()));
}
