//! Does one agent ask too often?

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::{AgentId, Timestamp};

/// A bucket for each agent: holds a minute's worth, refills evenly.
pub(crate) struct Pace {
    per_minute: u32,
    buckets: Mutex<HashMap<AgentId, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    full_at: Timestamp,
}

/// How many agents are remembered before full buckets are thrown away.
const SWEEP_AT: usize = 10_000;

impl Pace {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.max(1), buckets: Mutex::default() }
    }

    /// Takes one, or says how long to wait for it.
    pub(crate) fn take(&self, agent: &AgentId, now: Timestamp) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > SWEEP_AT {
            buckets.retain(|_, bucket| bucket.full_at > now);
        }
        let bucket = buckets.entry(agent.clone()).or_insert(Bucket { full_at: now });
        let one = Duration::from_secs(60) / self.per_minute;
        let room = Duration::from_secs(60);
        // A bucket is never emptier than empty, unless the clock was set back: that is not the agent's doing.
        bucket.full_at = bucket.full_at.min(now.plus(room));
        let full_at = bucket.full_at.max(now).plus(one);
        if full_at.since(now) > room {
            return Err(full_at.since(now) - room);
        }
        bucket.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_evenly() {
        let pace = Pace::new(60);
        let agent: AgentId = "orders-agent".parse().unwrap();
        let other: AgentId = "other-agent".parse().unwrap();
        let at = Timestamp::from_secs;
        for _ in 0..60 {
            assert!(pace.take(&agent, at(1000)).is_ok());
        }
        assert_eq!(pace.take(&agent, at(1000)), Err(Duration::from_secs(1)));
        assert!(pace.take(&other, at(1000)).is_ok());
        assert!(pace.take(&agent, at(1001)).is_ok());
        assert!(pace.take(&agent, at(1001)).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let pace = Pace::new(60);
        let agent: AgentId = "orders-agent".parse().unwrap();
        let at = Timestamp::from_secs;
        assert!(pace.take(&agent, at(100_000)).is_ok());
        assert_eq!(pace.take(&agent, at(1000)), Err(Duration::from_secs(1)));
        assert!(pace.take(&agent, at(1001)).is_ok());
    }
}
