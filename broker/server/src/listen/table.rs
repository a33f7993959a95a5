//! Who is connected, and who waits for its peer?
//!
//! A connection waits for its peer while it is opened, while a head or a body of a request is on its way, and
//! between requests: it is then closed if another needs its slot, the one that has waited longest first. A
//! connection whose request the broker works on is never closed for another.
//!
//! At the cap of a network its own connections make room. At the cap for all, those of the largest network do, as
//! long as it is larger than the one that asks. So a network with many connections loses its own, and a small one
//! gets in. Proxies have no cap of their own and make room only for each other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::counts::Why;
use super::slot::Entry;

/// Where connections come from, as far as they are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// An IPv4 address, or an IPv6 /64.
    Network(IpAddr),
    /// A proxy that is trusted.
    Proxy(IpAddr),
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// In all.
    pub all: usize,
    /// From one network.
    pub per_network: usize,
}

/// Whether there is room for one more.
pub(super) enum Verdict {
    /// It is counted.
    Admitted,
    /// When a connection that was told to end has ended.
    AfterRelease(Why),
    /// When this connection has ended.
    AfterEviction(Arc<Entry>, Why),
    /// No connection can make room.
    Refused(Why),
}

/// All connections.
#[derive(Default)]
pub(crate) struct Table {
    open: usize,
    /// Told to end, and still open.
    leaving: usize,
    next_turn: u64,
    shares: HashMap<Source, Share>,
}

/// Those of one source.
#[derive(Default)]
struct Share {
    open: usize,
    leaving: usize,
    /// Those that wait for their peer, the longest first.
    waiting: BTreeMap<u64, Arc<Entry>>,
}

impl Table {
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Counts this connection if there is room for it.
    pub(super) fn admit(&mut self, source: Source, caps: Caps, entry: &Arc<Entry>) -> Verdict {
        let share = self.shares.entry(source).or_default();
        let (open, leaving) = (share.open, share.leaving);
        if matches!(source, Source::Network(_)) && open >= caps.per_network {
            return match open - leaving < caps.per_network {
                true => Verdict::AfterRelease(Why::NetworkFull),
                false => self.instead(Some(source), Why::NetworkFull),
            };
        }
        if self.open >= caps.all {
            let verdict = match self.open - self.leaving < caps.all {
                true => Verdict::AfterRelease(Why::AllFull),
                false => match self.evict_for(Some(source)) {
                    Some(leaving) => Verdict::AfterEviction(leaving, Why::AllFull),
                    None => Verdict::Refused(Why::AllFull),
                },
            };
            self.forget(source);
            return verdict;
        }
        share.open += 1;
        self.open += 1;
        self.wait(source, entry);
        Verdict::Admitted
    }

    /// Begins to wait for the peer, behind all others.
    pub(super) fn wait(&mut self, source: Source, entry: &Arc<Entry>) {
        let turn = self.next_turn;
        self.next_turn += 1;
        let Some(share) = self.shares.get_mut(&source) else { return };
        if let Some(before) = entry.take_turn(Some(turn)) {
            share.waiting.remove(&before);
        }
        if !entry.is_ending() {
            share.waiting.insert(turn, Arc::clone(entry));
        }
    }

    /// Waits no more: the broker works.
    pub(super) fn work(&mut self, source: Source, entry: &Entry) {
        if let (Some(turn), Some(share)) = (entry.take_turn(None), self.shares.get_mut(&source)) {
            share.waiting.remove(&turn);
        }
    }

    pub(super) fn leave(&mut self, source: Source, entry: &Entry) {
        self.work(source, entry);
        let Some(share) = self.shares.get_mut(&source) else { return };
        share.open -= 1;
        self.open -= 1;
        if entry.is_ending() {
            share.leaving -= 1;
            self.leaving -= 1;
        }
        self.forget(source);
    }

    /// Takes the slot of a connection that waits, for one of this source; for no source in particular, of the
    /// largest network.
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

    fn instead(&mut self, source: Option<Source>, full: Why) -> Verdict {
        match source.and_then(|source| self.evict(source)) {
            Some(leaving) => Verdict::AfterEviction(leaving, full),
            None => Verdict::Refused(full),
        }
    }

    fn evict(&mut self, from: Source) -> Option<Arc<Entry>> {
        let share = self.shares.get_mut(&from)?;
        let (_, entry) = share.waiting.pop_first()?;
        entry.take_turn(None);
        entry.is_to_end();
        share.leaving += 1;
        self.leaving += 1;
        Some(entry)
    }

    /// A source without connections costs nothing.
    fn forget(&mut self, source: Source) {
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

    /// Connects as often as it is asked to, and expects that there is room.
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
    fn a_network_at_its_cap_loses_the_connection_that_waited_longest() {
        let mut table = Table::default();
        let mine = connect(&mut table, network(1), 4);
        // The first has sent a request and was answered: now the second has waited longest.
        table.work(network(1), &mine[0]);
        table.wait(network(1), &mine[0]);
        let Verdict::AfterEviction(leaving, Why::NetworkFull) = admit(&mut table, network(1)) else {
            panic!()
        };
        assert!(Arc::ptr_eq(&leaving, &mine[1]));
        assert!(
            matches!(admit(&mut table, network(1)), Verdict::AfterRelease(Why::NetworkFull)),
            "one leaves already"
        );
        table.leave(network(1), &leaving);
        connect(&mut table, network(1), 1);
        assert_eq!(table.open(), 4);
    }

    #[test]
    fn a_connection_whose_request_is_worked_on_is_never_closed_for_another() {
        let mut table = Table::default();
        for entry in connect(&mut table, network(1), 4) {
            table.work(network(1), &entry);
        }
        assert!(matches!(admit(&mut table, network(1)), Verdict::Refused(Why::NetworkFull)));
        connect(&mut table, network(2), 2);
        assert!(matches!(admit(&mut table, network(2)), Verdict::AfterEviction(_, Why::AllFull)));
    }

    #[test]
    fn the_largest_network_makes_room_for_a_small_one_and_never_the_other_way() {
        let mut table = Table::default();
        let small = connect(&mut table, network(2), 2);
        let large = connect(&mut table, network(1), 4);
        let Verdict::AfterEviction(leaving, Why::AllFull) = admit(&mut table, network(3)) else { panic!() };
        assert!(Arc::ptr_eq(&leaving, &large[0]));
        table.leave(network(1), &leaving);
        connect(&mut table, network(3), 1);
        let Verdict::AfterEviction(leaving, Why::AllFull) = admit(&mut table, network(1)) else { panic!() };
        assert!(Arc::ptr_eq(&leaving, &large[1]), "its own, though {} waited longer", small.len());
    }

    #[test]
    fn behind_a_proxy_there_is_only_the_cap_for_all() {
        let mut table = Table::default();
        let behind = connect(&mut table, PROXY, 6);
        let Verdict::AfterEviction(leaving, Why::AllFull) = admit(&mut table, PROXY) else { panic!() };
        assert!(Arc::ptr_eq(&leaving, &behind[0]));
        table.leave(PROXY, &leaving);
        connect(&mut table, network(1), 1);
        // A stranger who comes past the proxy takes nothing away from it.
        let Verdict::AfterEviction(leaving, Why::AllFull) = admit(&mut table, network(1)) else { panic!() };
        table.leave(network(1), &leaving);
        connect(&mut table, network(1), 1);
        // Another one takes that stranger's slot.
        let Verdict::AfterEviction(leaving, Why::AllFull) = admit(&mut table, network(2)) else { panic!() };
        table.leave(network(1), &leaving);
        connect(&mut table, network(2), 1);
        assert_eq!(table.shares.get(&PROXY).map(|share| share.open), Some(5));
        let Verdict::AfterEviction(_, Why::AllFull) = admit(&mut table, PROXY) else { panic!() };
    }

    #[test]
    fn what_has_left_is_forgotten() {
        let mut table = Table::default();
        for entry in connect(&mut table, network(1), 3) {
            table.leave(network(1), &entry);
        }
        assert_eq!((table.open(), table.leaving, table.shares.len()), (0, 0, 0));
    }
}
