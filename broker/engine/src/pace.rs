//! Does somebody ask too often?

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::Timestamp;

/// A bucket for each of those who ask: holds a minute's worth, refills evenly.
pub struct Pace<Who> {
    buckets: Mutex<Buckets<Who>>,
}

struct Buckets<Who> {
    per_minute: u32,
    by: HashMap<Who, Bucket>,
    sweep_above: usize,
}

#[derive(Clone, Copy)]
struct Bucket {
    full_at: Timestamp,
}

/// How many are remembered before full buckets are thrown away.
const SWEEP_ABOVE: usize = 10_000;
/// What a bucket holds.
const ROOM: Duration = Duration::from_secs(60);

impl<Who: Eq + Hash> Pace<Who> {
    /// So many a minute for each, at least one.
    pub fn new(per_minute: u32) -> Self {
        let buckets = Buckets { per_minute: per_minute.max(1), by: HashMap::new(), sweep_above: SWEEP_ABOVE };
        Self { buckets: Mutex::new(buckets) }
    }

    /// Another number from now on. What is in the buckets stays as it is.
    pub fn set(&self, per_minute: u32) {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).per_minute = per_minute.max(1);
    }

    /// The number that holds now.
    pub(crate) fn per_minute(&self) -> u32 {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).per_minute
    }

    /// Takes one, or says how long to wait for it.
    pub fn take(&self, who: Who, now: Timestamp) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.sweep(now);
        let one = ROOM / buckets.per_minute;
        let bucket = buckets.by.entry(who).or_insert(Bucket { full_at: now });
        // A bucket is never emptier than empty, unless the clock was set back: that is not the caller's doing.
        bucket.full_at = bucket.full_at.min(now.plus(ROOM));
        let full_at = bucket.full_at.max(now).plus(one);
        if full_at.since(now) > ROOM {
            return Err(full_at.since(now) - ROOM);
        }
        bucket.full_at = full_at;
        Ok(())
    }

    /// Puts one back that was taken.
    pub(crate) fn put_back(&self, who: &Who) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let one = ROOM / buckets.per_minute;
        if let Some(bucket) = buckets.by.get_mut(who) {
            bucket.full_at = bucket.full_at.minus(one);
        }
    }
}

impl<Who: Eq + Hash> Buckets<Who> {
    /// A full bucket says no more than none. Those that are left over are those of the last minute's callers; when
    /// they are many, the next sweep waits until they have doubled: looking at all of them for each caller would
    /// be what a flood is after.
    fn sweep(&mut self, now: Timestamp) {
        if self.by.len() > self.sweep_above {
            self.by.retain(|_, bucket| bucket.full_at > now);
            self.sweep_above = SWEEP_ABOVE.max(self.by.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::AgentId;

    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_evenly() {
        let pace = Pace::new(60);
        let agent: AgentId = "orders-agent".parse().unwrap();
        let other: AgentId = "other-agent".parse().unwrap();
        let at = Timestamp::from_secs;
        for _ in 0..60 {
            assert!(pace.take(agent.clone(), at(1000)).is_ok());
        }
        assert_eq!(pace.take(agent.clone(), at(1000)), Err(Duration::from_secs(1)));
        assert!(pace.take(other.clone(), at(1000)).is_ok());
        assert!(pace.take(agent.clone(), at(1001)).is_ok());
        assert!(pace.take(agent.clone(), at(1001)).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let pace = Pace::new(60);
        let agent: AgentId = "orders-agent".parse().unwrap();
        let at = Timestamp::from_secs;
        assert!(pace.take(agent.clone(), at(100_000)).is_ok());
        assert_eq!(pace.take(agent.clone(), at(1000)), Err(Duration::from_secs(1)));
        assert!(pace.take(agent.clone(), at(1001)).is_ok());
    }

    #[test]
    fn another_pace_holds_for_those_who_asked_before() {
        let pace = Pace::new(60);
        let at = Timestamp::from_secs;
        assert!(pace.take("agent", at(1000)).is_ok());
        pace.set(1);
        assert_eq!(pace.take("agent", at(1000)), Err(Duration::from_secs(1)));
        pace.set(0);
        assert!(pace.take("another", at(1000)).is_ok(), "0 is taken for 1");
    }

    #[test]
    fn a_crowd_is_forgotten_when_its_buckets_are_full_again() {
        let pace = Pace::new(60);
        let at = Timestamp::from_secs;
        for who in 0..50_000 {
            assert!(pace.take(who, at(1000)).is_ok());
        }
        for who in 50_000..150_000 {
            assert!(pace.take(who, at(1002)).is_ok());
        }
        let buckets = pace.buckets.lock().unwrap();
        assert!(buckets.by.len() <= 110_000, "{} are remembered", buckets.by.len());
    }
}
