//! A rate limiter: so many requests per minute for each key, and as many at once.
//!
//! Not the crate `governor`: a request can be refunded when it turns out to be of another kind, the limit changes while
//! the broker runs, and time is the engine's clock, which may be set back.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::Timestamp;

/// A token bucket per key, with a capacity of one minute, refilled evenly.
pub struct RateLimiter<Key> {
    buckets: Mutex<Buckets<Key>>,
}

struct Buckets<Key> {
    per_minute: u32,
    by_key: HashMap<Key, Bucket>,
    evict_above: usize,
}

#[derive(Clone, Copy)]
struct Bucket {
    full_at: Timestamp,
}

/// More buckets than this, and full ones are evicted.
const EVICT_ABOVE: usize = 10_000;
/// The capacity of a bucket.
const CAPACITY: Duration = Duration::from_secs(60);

impl<Key: Eq + Hash> RateLimiter<Key> {
    /// At least one per minute.
    pub fn new(per_minute: u32) -> Self {
        let buckets =
            Buckets { per_minute: per_minute.max(1), by_key: HashMap::new(), evict_above: EVICT_ABOVE };
        Self { buckets: Mutex::new(buckets) }
    }

    /// Changes the limit; the buckets keep their level.
    pub fn set(&self, per_minute: u32) {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).per_minute = per_minute.max(1);
    }

    pub(crate) fn per_minute(&self) -> u32 {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).per_minute
    }

    /// Counts a request, or returns how long to wait.
    pub fn try_acquire(&self, key: Key, now: Timestamp) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.evict_full(now);
        let one = CAPACITY / buckets.per_minute;
        let bucket = buckets.by_key.entry(key).or_insert(Bucket { full_at: now });
        // Below empty only if the clock was set back, which the caller did not cause.
        bucket.full_at = bucket.full_at.min(now.plus(CAPACITY));
        let full_at = bucket.full_at.max(now).plus(one);
        if full_at.since(now) > CAPACITY {
            return Err(full_at.since(now) - CAPACITY);
        }
        bucket.full_at = full_at;
        Ok(())
    }

    /// Refunds one request.
    pub(crate) fn refund(&self, key: &Key) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let one = CAPACITY / buckets.per_minute;
        if let Some(bucket) = buckets.by_key.get_mut(key) {
            bucket.full_at = bucket.full_at.minus(one);
        }
    }
}

impl<Key: Eq + Hash> Buckets<Key> {
    /// A full bucket is the same as none. The buckets that remain are of callers of the last minute; the next eviction
    /// waits until they have doubled, so that a flood of keys does not make every request scan all of them.
    fn evict_full(&mut self, now: Timestamp) {
        if self.by_key.len() > self.evict_above {
            self.by_key.retain(|_, bucket| bucket.full_at > now);
            self.evict_above = EVICT_ABOVE.max(self.by_key.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::AgentId;

    use super::*;

    #[test]
    fn burst_of_one_minute_then_even_refill() {
        let limiter = RateLimiter::new(60);
        let agent: AgentId = "orders-agent".parse().unwrap();
        let other: AgentId = "other-agent".parse().unwrap();
        let at = Timestamp::from_secs;
        for _ in 0..60 {
            assert!(limiter.try_acquire(agent.clone(), at(1000)).is_ok());
        }
        assert_eq!(limiter.try_acquire(agent.clone(), at(1000)), Err(Duration::from_secs(1)));
        assert!(limiter.try_acquire(other.clone(), at(1000)).is_ok());
        assert!(limiter.try_acquire(agent.clone(), at(1001)).is_ok());
        assert!(limiter.try_acquire(agent.clone(), at(1001)).is_err());
    }

    #[test]
    fn clock_set_back_locks_no_caller_out() {
        let limiter = RateLimiter::new(60);
        let agent: AgentId = "orders-agent".parse().unwrap();
        let at = Timestamp::from_secs;
        assert!(limiter.try_acquire(agent.clone(), at(100_000)).is_ok());
        assert_eq!(limiter.try_acquire(agent.clone(), at(1000)), Err(Duration::from_secs(1)));
        assert!(limiter.try_acquire(agent.clone(), at(1001)).is_ok());
    }

    #[test]
    fn new_limit_applies_to_existing_buckets() {
        let limiter = RateLimiter::new(60);
        let at = Timestamp::from_secs;
        assert!(limiter.try_acquire("agent", at(1000)).is_ok());
        limiter.set(1);
        assert_eq!(limiter.try_acquire("agent", at(1000)), Err(Duration::from_secs(1)));
        limiter.set(0);
        assert!(limiter.try_acquire("another", at(1000)).is_ok(), "0 is taken for 1");
    }

    #[test]
    fn full_buckets_of_a_flood_are_evicted() {
        let limiter = RateLimiter::new(60);
        let at = Timestamp::from_secs;
        for who in 0..50_000 {
            assert!(limiter.try_acquire(who, at(1000)).is_ok());
        }
        for who in 50_000..150_000 {
            assert!(limiter.try_acquire(who, at(1002)).is_ok());
        }
        let buckets = limiter.buckets.lock().unwrap();
        assert!(buckets.by_key.len() <= 110_000, "{} are remembered", buckets.by_key.len());
    }
}
