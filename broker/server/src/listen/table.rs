//! The table of open connections, which selects the connection to evict at a cap.
//!
//! A connection waits for its peer during the handshake, while the head or the body of a request arrives, and between
//! requests. Only waiting connections are evicted, the one that has waited longest first; a connection whose request the
//! broker handles never is.
//!
//! At the cap of a network, one of its own connections is evicted. At the cap for all, one of the largest network is, if
//! that network is larger than the one of the new connection. So a network with many connections loses its own, and a
//! small network gets in. Proxies have no cap of their own, and are evicted only for each other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::counts::RefusalReason;
use super::slot::Entry;

/// The source by which connections are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// An IPv4 address, or an IPv6 /64.
    Network(IpAddr),
    /// A trusted proxy.
    Proxy(IpAddr),
}

/// The caps on the number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// For all connections.
    pub all: usize,
    /// For one network.
    pub per_network: usize,
}

/// The decision on a new connection.
pub(super) enum Verdict {
    /// Admitted and counted.
    Admitted,
    /// To be tried again when a closing connection has closed.
    AfterRelease(RefusalReason),
    /// To be tried again when this connection, which is evicted, has closed.
    AfterEviction(Arc<Entry>, RefusalReason),
    /// Refused: no connection can be evicted.
    Refused(RefusalReason),
}

/// All open connections.
#[derive(Default)]
pub(crate) struct Table {
    open: usize,
    /// Evicted, and still open.
    closing: usize,
    next_position: u64,
    shares: HashMap<Source, Share>,
}

/// The connections of one source.
#[derive(Default)]
struct Share {
    open: usize,
    closing: usize,
    /// Connections that wait for their peer, the longest first.
    waiting: BTreeMap<u64, Arc<Entry>>,
}

impl Table {
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Decides on a connection, and counts it if it is admitted.
    pub(super) fn admit(&mut self, source: Source, caps: Caps, entry: &Arc<Entry>) -> Verdict {
        let share = self.shares.entry(source).or_default();
        let (open, closing) = (share.open, share.closing);
        if matches!(source, Source::Network(_)) && open >= caps.per_network {
            return match open - closing < caps.per_network {
                true => Verdict::AfterRelease(RefusalReason::NetworkFull),
                false => self.evict_own(source, RefusalReason::NetworkFull),
            };
        }
        if self.open >= caps.all {
            let verdict = match self.open - self.closing < caps.all {
                true => Verdict::AfterRelease(RefusalReason::AllFull),
                false => match self.evict_for(Some(source)) {
                    Some(closing) => Verdict::AfterEviction(closing, RefusalReason::AllFull),
                    None => Verdict::Refused(RefusalReason::AllFull),
                },
            };
            self.remove_if_empty(source);
            return verdict;
        }
        share.open += 1;
        self.open += 1;
        self.wait(source, entry);
        Verdict::Admitted
    }

    /// Puts the connection at the end of the queue of those that wait for their peer.
    pub(super) fn wait(&mut self, source: Source, entry: &Arc<Entry>) {
        let position = self.next_position;
        self.next_position += 1;
        let Some(share) = self.shares.get_mut(&source) else { return };
        if let Some(before) = entry.set_position(Some(position)) {
            share.waiting.remove(&before);
        }
        if !entry.is_closing() {
            share.waiting.insert(position, Arc::clone(entry));
        }
    }

    /// Takes the connection out of the queue: the broker handles its request.
    pub(super) fn work(&mut self, source: Source, entry: &Entry) {
        if let (Some(position), Some(share)) = (entry.set_position(None), self.shares.get_mut(&source)) {
            share.waiting.remove(&position);
        }
    }

    pub(super) fn release(&mut self, source: Source, entry: &Entry) {
        self.work(source, entry);
        let Some(share) = self.shares.get_mut(&source) else { return };
        share.open -= 1;
        self.open -= 1;
        if entry.is_closing() {
            share.closing -= 1;
            self.closing -= 1;
        }
        self.remove_if_empty(source);
    }

    /// Evicts a waiting connection of the largest network, for one of this source if there is one.
    pub(super) fn evict_for(&mut self, source: Option<Source>) -> Option<Arc<Entry>> {
        let mine = source.and_then(|source| self.shares.get(&source)).map_or(0, |share| share.open);
        let is_larger = |from: &Source, share: &Share| match (from, source) {
            (Source::Proxy(_), _) => false,
            (Source::Network(_), Some(Source::Network(_))) => share.open > mine,
            (Source::Network(_), Some(Source::Proxy(_)) | None) => true,
        };
        let largest = self
            .shares
            .iter()
            .filter(|(from, share)| is_larger(from, share))
            .filter_map(|(from, share)| {
                let (first, _) = share.waiting.first_key_value()?;
                Some(((share.open, Reverse(*first)), *from))
            })
            .max_by_key(|(size, _)| *size)
            .map(|(_, from)| from);
        self.evict(largest.or(source)?)
    }

    fn evict_own(&mut self, source: Source, full: RefusalReason) -> Verdict {
        match self.evict(source) {
            Some(closing) => Verdict::AfterEviction(closing, full),
            None => Verdict::Refused(full),
        }
    }

    fn evict(&mut self, from: Source) -> Option<Arc<Entry>> {
        let share = self.shares.get_mut(&from)?;
        let (_, entry) = share.waiting.pop_first()?;
        entry.set_position(None);
        entry.mark_closing();
        share.closing += 1;
        self.closing += 1;
        Some(entry)
    }

    /// Removes the entry of a source without connections.
    fn remove_if_empty(&mut self, source: Source) {
        if self.shares.get(&source).is_some_and(|share| share.open == 0) {
            self.shares.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { all: 6, per_network: 4 };

    fn network(last: u8) -> Source {
        Source::Network(IpAddr::from([192, 0, 2, last]))
    }

    const PROXY: Source = Source::Proxy(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    /// Admits so many connections.
    fn connect(table: &mut Table, source: Source, times: usize) -> Vec<Arc<Entry>> {
        let one = |_| {
            let entry = Entry::new();
            assert!(matches!(table.admit(source, CAPS, &entry), Verdict::Admitted));
            entry
        };
        (0..times).map(one).collect()
    }

    fn admit(table: &mut Table, source: Source) -> Verdict {
        table.admit(source, CAPS, &Entry::new())
    }

    #[test]
    fn a_network_at_its_cap_loses_its_longest_waiting_connection() {
        let mut table = Table::default();
        let mine = connect(&mut table, network(1), 4);
        // The first has had a request answered: now the second has waited longest.
        table.work(network(1), &mine[0]);
        table.wait(network(1), &mine[0]);
        let Verdict::AfterEviction(closing, RefusalReason::NetworkFull) = admit(&mut table, network(1))
        else {
            panic!()
        };
        assert!(Arc::ptr_eq(&closing, &mine[1]));
        assert!(
            matches!(admit(&mut table, network(1)), Verdict::AfterRelease(RefusalReason::NetworkFull)),
            "one is closing already"
        );
        table.release(network(1), &closing);
        connect(&mut table, network(1), 1);
        assert_eq!(table.open(), 4);
    }

    #[test]
    fn a_connection_with_a_request_in_progress_is_never_evicted() {
        let mut table = Table::default();
        for entry in connect(&mut table, network(1), 4) {
            table.work(network(1), &entry);
        }
        assert!(matches!(admit(&mut table, network(1)), Verdict::Refused(RefusalReason::NetworkFull)));
        connect(&mut table, network(2), 2);
        assert!(matches!(admit(&mut table, network(2)), Verdict::AfterEviction(_, RefusalReason::AllFull)));
    }

    #[test]
    fn large_networks_lose_connections_to_small_ones_never_the_reverse() {
        let mut table = Table::default();
        let small = connect(&mut table, network(2), 2);
        let large = connect(&mut table, network(1), 4);
        let Verdict::AfterEviction(closing, RefusalReason::AllFull) = admit(&mut table, network(3)) else {
            panic!()
        };
        assert!(Arc::ptr_eq(&closing, &large[0]));
        table.release(network(1), &closing);
        connect(&mut table, network(3), 1);
        let Verdict::AfterEviction(closing, RefusalReason::AllFull) = admit(&mut table, network(1)) else {
            panic!()
        };
        assert!(Arc::ptr_eq(&closing, &large[1]), "its own, though {} waited longer", small.len());
    }

    #[test]
    fn proxies_have_only_the_cap_for_all() {
        let mut table = Table::default();
        let behind = connect(&mut table, PROXY, 6);
        let Verdict::AfterEviction(closing, RefusalReason::AllFull) = admit(&mut table, PROXY) else {
            panic!()
        };
        assert!(Arc::ptr_eq(&closing, &behind[0]));
        table.release(PROXY, &closing);
        connect(&mut table, network(1), 1);
        // A connection that bypasses the proxy evicts none of the proxy's.
        let Verdict::AfterEviction(closing, RefusalReason::AllFull) = admit(&mut table, network(1)) else {
            panic!()
        };
        table.release(network(1), &closing);
        connect(&mut table, network(1), 1);
        // Another one evicts that connection.
        let Verdict::AfterEviction(closing, RefusalReason::AllFull) = admit(&mut table, network(2)) else {
            panic!()
        };
        table.release(network(1), &closing);
        connect(&mut table, network(2), 1);
        assert_eq!(table.shares.get(&PROXY).map(|share| share.open), Some(5));
        let Verdict::AfterEviction(_, RefusalReason::AllFull) = admit(&mut table, PROXY) else { panic!() };
    }

    #[test]
    fn released_connections_leave_no_entry() {
        let mut table = Table::default();
        for entry in connect(&mut table, network(1), 3) {
            table.release(network(1), &entry);
        }
        assert_eq!((table.open(), table.closing, table.shares.len()), (0, 0, 0));
    }
}
