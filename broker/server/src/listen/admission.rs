//! Which connections are taken, and which one is closed when there is no room?
//!
//! There is a cap for all connections and one for each network (an IPv4 address, an IPv6 /64). A new connection at
//! a cap takes the slot of one that waits for its peer: see [`Table`](super::table::Table). If there is none, the
//! new one is refused.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::counts::{Counts, Why};
use super::slot::{Entry, Slot};
use super::table::{Caps, Source, Table, Verdict};
use crate::http::address::household;

/// How long a new connection waits until the one whose slot it takes is closed.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// What an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How many connections there may be, in all and for one network.
    pub caps: Caps,
    /// How long a connection may wait for its next request.
    pub idle: Duration,
    /// Networks without a cap of their own: proxies, behind which all clients are one address.
    pub trusted_proxies: Vec<IpNet>,
}

/// Decides on every connection.
pub struct Admission {
    terms: ArcSwap<Terms>,
    table: Mutex<Table>,
    /// A connection has ended.
    freed: Notify,
    counts: Counts,
}

impl Admission {
    /// Under these terms.
    pub fn new(terms: Terms) -> Arc<Self> {
        Arc::new(Self {
            terms: ArcSwap::from_pointee(terms),
            table: Mutex::default(),
            freed: Notify::new(),
            counts: Counts::default(),
        })
    }

    /// These from now on. Connections above a lower cap stay until they end or make room.
    pub(crate) fn set(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
    }

    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.table().open()
    }

    /// A slot for a connection of this peer, or why there is none.
    pub(super) async fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Slot, Why> {
        let terms = self.terms.load_full();
        let address = peer.ip().to_canonical();
        let is_proxy = terms.trusted_proxies.iter().any(|proxies| proxies.contains(&address));
        let source = if is_proxy { Source::Proxy(address) } else { Source::Network(household(address)) };
        let deadline = Instant::now() + ROOM_WITHIN;
        loop {
            let entry = Entry::new();
            // A statement of its own: the table is not locked during what follows.
            let verdict = self.table().admit(source, terms.caps, &entry);
            let full = match verdict {
                Verdict::Admitted => {
                    self.counts.accepted();
                    return Ok(Slot::new(Arc::clone(self), source, entry));
                }
                Verdict::AfterRelease(full) => full,
                Verdict::AfterEviction(leaving, full) => {
                    leaving.end();
                    self.counts.made_room(full, source);
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

    /// Closes a connection that waits for its peer, because the process has no file for another one.
    pub(super) fn shed(&self) {
        let leaving = self.table().evict_for(None);
        if let Some(leaving) = leaving {
            leaving.end();
            self.counts.shed();
        }
    }

    /// Returns when there are no connections.
    pub(super) async fn emptied(&self) {
        while self.open() > 0 {
            self.freed.notified().await;
        }
    }

    pub(super) fn leave(&self, source: Source, entry: &Entry) {
        self.table().leave(source, entry);
        self.freed.notify_one();
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
