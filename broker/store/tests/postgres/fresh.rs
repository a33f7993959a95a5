//! Makes databases for tests.

use std::sync::LazyLock;
use std::time::Duration;

use postgres_for_tests::{PASSWORD, Server};
use store::Postgres;
use store::postgres::{IfPending, OpenError, Opening, PostgresUrl};

use crate::conformance::Fresh;
use crate::replicas::Replicas;

/// How long to wait for a connection. A loaded machine takes longer to open one than a broker waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// One server for all tests of this process; it ends with the process.
pub(crate) fn server() -> &'static Server {
    static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
    &SERVER
}

/// A new database: its name and its URL.
pub(crate) fn database() -> (String, PostgresUrl) {
    let url = server().database();
    let name = url.rsplit('/').next().unwrap().to_owned();
    (name, PostgresUrl::parse(&url).unwrap().with_password(PASSWORD))
}

pub(crate) async fn try_open(place: &PostgresUrl, pending: IfPending) -> Result<Postgres, OpenError> {
    Postgres::open(Opening { place, connections: 6, wait: PATIENCE, pending }).await
}

pub(crate) async fn open(place: &PostgresUrl) -> Postgres {
    try_open(place, IfPending::Run).await.unwrap()
}

pub(crate) async fn one_broker() -> Fresh {
    let (_, place) = database();
    Fresh { store: Box::new(open(&place).await), keeps: Box::new(()) }
}

pub(crate) async fn two_brokers() -> Fresh {
    let (_, place) = database();
    let both = Replicas::new(open(&place).await, open(&place).await);
    Fresh { store: Box::new(both), keeps: Box::new(()) }
}
