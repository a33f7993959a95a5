//! Which connection does the next question get?
//!
//! sqlx has a pool of its own, which asks every connection that comes back whether it still lives: one more round trip
//! for each statement. Here a connection comes back only if what it was asked was answered; whoever is dropped in the
//! middle of a question closes it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{self, Manager, Metrics, Object, QueueMode, RecycleError, RecycleResult};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::open;
use crate::StoreError;

/// How long to wait for a connection.
pub(super) const WAIT: Duration = Duration::from_secs(5);
/// One that was not used for so long is asked whether it is still there.
const FRESH: Duration = Duration::from_secs(1);
/// So old it is replaced: what the server keeps for a connection grows.
const OLD: Duration = Duration::from_secs(30 * 60);

/// Connections that are open, and the way to more.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    connections: managed::Pool<Way>,
    cut: Arc<Cut>,
}

impl Pool {
    /// Connects nowhere yet.
    pub(super) fn new(options: PgConnectOptions, connections: u32) -> Result<Self, managed::BuildError> {
        let cut = Arc::new(Cut::default());
        let way = Way { options, cut: Arc::clone(&cut) };
        let connections = managed::Pool::builder(way)
            .max_size(connections as usize)
            // The last one back is the first one out: few are enough for little.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(WAIT))
            .build()?;
        Ok(Self { connections, cut })
    }

    pub(super) async fn get(&self) -> Result<Lent, StoreError> {
        let connection = self.connections.get().await;
        let connection = connection.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok(Lent(Some(connection)))
    }

    /// A connection was found to be cut: others that were idle then may be cut as well.
    pub(super) fn was_cut(&self) {
        self.cut.happened();
    }
}

/// A connection. It goes back only by [`Self::give_back`].
pub(super) struct Lent(Option<Object<Way>>);

impl Lent {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        let connection = self.0.as_deref_mut();
        connection.ok_or_else(|| StoreError::Unavailable(Box::new(sqlx::Error::PoolClosed)))
    }

    /// All that was asked was answered, and no transaction is open: the next one may have it.
    pub(super) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Out of the pool, and closed: nobody knows what it is in the middle of.
        drop(self.0.take().map(Object::take));
    }
}

/// How a connection is made, and whether it can be used once more.
#[derive(Debug)]
struct Way {
    options: PgConnectOptions,
    cut: Arc<Cut>,
}

impl Manager for Way {
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
        if unused_for > FRESH || self.cut.may_concern(unused_for) {
            connection.ping().await?;
        }
        Ok(())
    }
}

/// When a connection was last found to be cut.
#[derive(Debug, Default)]
struct Cut(Mutex<Option<Instant>>);

impl Cut {
    fn happened(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn may_concern(&self, unused_for: Duration) -> bool {
        let cut = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cut.is_some_and(|cut| cut.elapsed() < unused_for)
    }
}
