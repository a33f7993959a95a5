//! What becomes of a store whose server goes away, and comes back?

use futures_util::future::join_all;
use postgres_for_tests::{PASSWORD, Server};
use store::postgres::Place;
use store::{Store, StoreError};

use crate::conformance::given::{active, end};
use crate::fresh::{database, open, server};

// On threads of their own, so that every connection is back in its pool before it is cut.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_cut_are_replaced() {
    let (name, place) = database();
    let store = open(&place).await;
    let live = join_all((0..6).map(|number| active(&store, "orders", number, None))).await;
    server().query(
        "postgres",
        &format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"),
    );
    // One question finds out, and no other meets a connection that was cut then.
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    for stored in &live {
        end(&store, stored).await;
    }
}

#[tokio::test]
async fn acknowledged_write_survives_a_server_crash() {
    let mut own = Server::start();
    let place = Place::parse(&own.database()).unwrap().with_password(PASSWORD);
    let store = open(&place).await;
    let live = active(&store, "orders", 1, None).await;
    own.crash();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    own.start_again();
    // What is left of the old connections goes with the first questions.
    while store.ping().await.is_err() {}
    let found = store.grant(&live.grant.id).await.unwrap().unwrap();
    assert_eq!((&found.grant, found.version), (&live.grant, live.version));
    let over = end(&store, &found).await;
    assert!(audit::is_intact(&over.grant.id, &store.events(&over.grant.id).await.unwrap()));
}
