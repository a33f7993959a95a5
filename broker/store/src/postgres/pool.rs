//! Pools connections.
//!
//! sqlx's own pool pings every connection that is returned: one more round trip for each statement. Here a connection
//! returns only after its last statement was answered. A future that is dropped earlier closes its connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{self, Manager, Metrics, Object, QueueMode, RecycleError, RecycleResult};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::open;
use crate::StoreError;

/// How long a broker waits for a connection.
pub const WAIT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is pinged first.
const FRESH: Duration = Duration::from_secs(1);
/// Older connections are replaced, because the server's memory for a connection grows.
const OLD: Duration = Duration::from_secs(30 * 60);

#[derive(Debug, Clone)]
pub(super) struct Pool {
    connections: managed::Pool<Connector>,
    broken: Arc<BrokenSince>,
}

impl Pool {
    /// Opens no connection yet.
    pub(super) fn new(
        options: PgConnectOptions,
        connections: u32,
        wait: Duration,
    ) -> Result<Self, managed::BuildError> {
        let broken = Arc::new(BrokenSince::default());
        let way = Connector { options, broken: Arc::clone(&broken) };
        let connections = managed::Pool::builder(way)
            .max_size(connections as usize)
            // Last in, first out: a small load uses few connections.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(wait))
            .create_timeout(Some(wait))
            .recycle_timeout(Some(wait))
            .build()?;
        Ok(Self { connections, broken })
    }

    pub(super) async fn get(&self) -> Result<PooledConnection, StoreError> {
        let connection = self.connections.get().await;
        let connection = connection.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok(PooledConnection(Some(connection)))
    }

    /// A connection was found broken: connections that were idle at that time may be broken too.
    pub(super) fn mark_broken(&self) {
        self.broken.record();
    }
}

/// A connection, which returns to the pool only by [`Self::recycle`].
pub(super) struct PooledConnection(Option<Object<Connector>>);

impl PooledConnection {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        let connection = self.0.as_deref_mut();
        connection.ok_or_else(|| StoreError::Unavailable(Box::new(sqlx::Error::PoolClosed)))
    }

    /// Returns the connection. Every statement was answered, and no transaction is open.
    pub(super) fn recycle(mut self) {
        drop(self.0.take());
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        // A connection in an unknown state leaves the pool, and is closed.
        drop(self.0.take().map(Object::take));
    }
}

/// Opens and checks connections.
#[derive(Debug)]
struct Connector {
    options: PgConnectOptions,
    broken: Arc<BrokenSince>,
}

impl Manager for Connector {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<PgConnection> {
        let mut connection = self.options.connect().await?;
        open::writable(&mut connection).await?;
        Ok(connection)
    }

    async fn recycle(
        &self,
        connection: &mut PgConnection,
        use_of_it: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        if use_of_it.age() > OLD {
            return Err(RecycleError::message("it is old"));
        }
        let unused_for = use_of_it.last_used();
        if unused_for > FRESH || self.broken.may_affect(unused_for) {
            connection.ping().await?;
        }
        Ok(())
    }
}

/// When a connection was last found broken.
#[derive(Debug, Default)]
struct BrokenSince(Mutex<Option<Instant>>);

impl BrokenSince {
    fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn may_affect(&self, unused_for: Duration) -> bool {
        let broken = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        broken.is_some_and(|broken| broken.elapsed() < unused_for)
    }
}
