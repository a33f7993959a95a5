//! The lease of a grant: how long one heartbeat lasts.

use std::time::Duration;

use protocol::Timestamp;

/// A client's promise to send heartbeats. The lease counts from the last heartbeat, or from the time since when the
/// broker can record one if that is later: an outage of the broker ends no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The interval of the client's heartbeats.
    pub every: Duration,
    /// When the broker recorded the last heartbeat.
    pub last_heartbeat: Timestamp,
}

impl Lease {
    /// The interval of the heartbeats of `run`.
    pub const EVERY: Duration = Duration::from_secs(10);
    /// How many heartbeats may be missed before the grant ends.
    pub const MISSED: u32 = 3;

    /// A lease that begins now.
    pub fn new(every: Duration, now: Timestamp) -> Self {
        Self { every, last_heartbeat: now }
    }

    /// How long the lease lasts without a heartbeat.
    pub fn duration(&self) -> Duration {
        self.every * Self::MISSED
    }

    /// When the lease ends, by the heartbeats alone.
    pub fn expires_at(&self) -> Timestamp {
        self.last_heartbeat.plus(self.duration())
    }

    /// When the lease ends, for a broker that has been able to record heartbeats since `ready_since`.
    pub fn lost_at(&self, ready_since: Timestamp) -> Timestamp {
        self.last_heartbeat.max(ready_since).plus(self.duration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outage_of_the_broker_does_not_end_a_lease() {
        let at = Timestamp::from_secs;
        let lease = Lease::new(Duration::from_secs(10), at(1000));
        assert_eq!(lease.lost_at(at(500)), at(1030));
        assert_eq!(lease.lost_at(at(1025)), at(1055));
    }
}
