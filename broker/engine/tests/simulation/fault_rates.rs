//! Chooses how often each fault occurs in a run, and holds which replica is cut off or frozen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::rng::Rng;

/// Rates of faults, in permille. Each seed has its own mixture: a run without one kind of fault has more of another.
#[derive(Debug)]
pub(crate) struct FaultRates {
    calm: AtomicBool,
    pub(crate) store_delayed: u64,
    pub(crate) store_fails: u64,
    pub(crate) store_unheard: u64,
    pub(crate) throttled: u64,
    pub(crate) refused: u64,
    pub(crate) unheard: u64,
    pub(crate) late: u64,
    pub(crate) lost: u64,
    pub(crate) slow: u64,
    pub(crate) message_lost: u64,
    /// The rate at which the process dies, or the machine freezes, just before or after a call.
    pub(crate) struck: u64,
    /// The typical interval between faults that hit a replica, a machine or a connection; `None` for no such fault.
    pub(crate) fault_every: Option<Duration>,
    /// The typical interval between changes of the rules; `None` for no rules.
    pub(crate) rules_every: Option<Duration>,
}

impl FaultRates {
    pub(crate) fn of(rng: &Rng) -> Self {
        let some = |most: u64| match rng.below(3) {
            0 => 0,
            1 => most / 4,
            _ => most,
        };
        Self {
            calm: AtomicBool::new(true),
            store_delayed: some(400),
            store_fails: some(40),
            store_unheard: some(40),
            throttled: some(80),
            refused: some(30),
            unheard: some(150),
            late: some(200),
            lost: some(80),
            slow: some(150),
            message_lost: some(150),
            struck: some(12),
            fault_every: match rng.below(5) {
                0 => None,
                1 | 2 => Some(Duration::from_secs(30)),
                _ => Some(Duration::from_secs(12)),
            },
            rules_every: match rng.below(5) {
                0..3 => None,
                3 => Some(Duration::from_secs(80)),
                _ => Some(Duration::from_secs(40)),
            },
        }
    }

    pub(crate) fn begins(&self) {
        self.calm.store(false, Ordering::SeqCst);
    }

    pub(crate) fn ends(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    /// Whether a fault with this rate occurs now.
    pub(crate) fn occurs(&self, rng: &Rng, permille: u64) -> bool {
        !self.calm.load(Ordering::SeqCst) && rng.chance(permille)
    }
}

/// The connections of one replica to the store and the cloud.
#[derive(Default)]
pub(crate) struct Link {
    frozen: AtomicBool,
    // Wakes waiters in the order in which they came. With tokio's `watch`, two runs of a seed would differ.
    thawed: Notify,
    pub(crate) store_cut: AtomicBool,
    pub(crate) cloud_cut: AtomicBool,
}

impl Link {
    /// Freezes the machine; its processes do not notice.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    pub(crate) fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
        self.thawed.notify_waiters();
    }

    pub(crate) fn heal(&self) {
        self.thaw();
        self.store_cut.store(false, Ordering::SeqCst);
        self.cloud_cut.store(false, Ordering::SeqCst);
    }

    /// Waits while the machine is frozen.
    pub(crate) async fn awake(&self) {
        while self.is_frozen() {
            self.thawed.notified().await;
        }
    }
}
