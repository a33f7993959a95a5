//! Admission of connections under a cap for all connections and one for each network (an IPv4 address, an IPv6 /64).
//!
//! At a cap, a new connection replaces one that waits for its peer: see [`Table`](super::table::Table). If no connection
//! waits, the new one is refused.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::counts::{Counts, RefusalReason};
use super::slot::{Entry, Slot};
use super::table::{Caps, Source, Table, Verdict};
use crate::http::rate_limit::client_network;

/// How long a new connection waits for the evicted one to close.
const EVICTION_TIMEOUT: Duration = Duration::from_secs(1);

/// The configurable part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The caps for all connections and for one network.
    pub caps: Caps,
    /// How long a connection may wait for its next request.
    pub idle: Duration,
    /// Proxies, which are exempt from the cap for one network: all of their clients share an address.
    pub trusted_proxies: Vec<IpNet>,
}

/// Admits or refuses every connection.
pub struct Admission {
    config: ArcSwap<Config>,
    table: Mutex<Table>,
    /// Notified when a connection ends.
    freed: Notify,
    counts: Counts,
}

impl Admission {
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config: ArcSwap::from_pointee(config),
            table: Mutex::default(),
            freed: Notify::new(),
            counts: Counts::default(),
        })
    }

    /// Replaces the configuration. Connections above a lower cap stay until they end or are evicted.
    pub(crate) fn set(&self, config: Config) {
        self.config.store(Arc::new(config));
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.table().open()
    }

    /// Reserves a slot for a connection of this peer.
    pub(super) async fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Slot, RefusalReason> {
        let config = self.config.load_full();
        let address = peer.ip().to_canonical();
        let is_proxy = config.trusted_proxies.iter().any(|proxies| proxies.contains(&address));
        let source = if is_proxy { Source::Proxy(address) } else { Source::Network(client_network(address)) };
        let deadline = Instant::now() + EVICTION_TIMEOUT;
        loop {
            let entry = Entry::new();
            // A separate statement, so that the table is unlocked before the await below.
            let verdict = self.table().admit(source, config.caps, &entry);
            let full = match verdict {
                Verdict::Admitted => {
                    self.counts.accepted();
                    return Ok(Slot::new(Arc::clone(self), source, entry));
                }
                Verdict::AfterRelease(full) => full,
                Verdict::AfterEviction(closing, full) => {
                    closing.close();
                    self.counts.evicted(full, source);
                    full
                }
                Verdict::Refused(full) => {
                    self.counts.refused(full, source);
                    return Err(full);
                }
            };
            if timeout_at(deadline, self.freed.notified()).await.is_err() {
                self.counts.refused(full, source);
                return Err(full);
            }
        }
    }

    /// Closes a connection that waits for its peer, because the process is out of files.
    pub(super) fn shed(&self) {
        let closing = self.table().evict_for(None);
        if let Some(closing) = closing {
            closing.close();
            self.counts.shed();
        }
    }

    /// Returns when no connection is open.
    pub(super) async fn drained(&self) {
        while self.open() > 0 {
            self.freed.notified().await;
        }
    }

    pub(super) fn release(&self, source: Source, entry: &Entry) {
        self.table().release(source, entry);
        self.freed.notify_one();
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
