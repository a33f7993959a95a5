//! Is the holder still there?

use std::time::Duration;

use protocol::Timestamp;

/// A holder's promise to beat. Counted from the later of its last beat and the moment since which the broker
/// could have heard one, so that an outage of ours never ends anybody's grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// How often the holder beats.
    pub every: Duration,
    /// When it was last heard.
    pub last_heartbeat: Timestamp,
}

impl Lease {
    /// How often `run` beats.
    pub const EVERY: Duration = Duration::from_secs(10);
    /// How many beats may be missed before the grant ends.
    pub const MISSED: u32 = 3;

    /// A lease that begins now.
    pub fn new(every: Duration, now: Timestamp) -> Self {
        Self { every, last_heartbeat: now }
    }

    /// How long the holder may be silent.
    pub fn patience(&self) -> Duration {
        self.every * Self::MISSED
    }

    /// When the holder counts as lost, by the beats alone.
    pub fn silent_at(&self) -> Timestamp {
        self.last_heartbeat.plus(self.patience())
    }

    /// When the holder counts as lost, for a broker that has been able to hear it since `ready_since`.
    pub fn lost_at(&self, ready_since: Timestamp) -> Timestamp {
        self.last_heartbeat.max(ready_since).plus(self.patience())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_outage_is_not_counted_against_the_holder() {
        let at = Timestamp::from_secs;
        let lease = Lease::new(Duration::from_secs(10), at(1000));
        assert_eq!(lease.lost_at(at(500)), at(1030));
        assert_eq!(lease.lost_at(at(1025)), at(1055));
    }
}
