//! Bounds the rate of calls to one endpoint of a target, and stops calls to an endpoint that does not answer.
//!
//! Each endpoint (an account, a cluster, a database) has a limiter and a breaker of its own, so that one that is down,
//! slow or throttled delays no other.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Whether a call waits for the rate limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Provisions or reads: waits.
    Normal,
    /// Removes access: never waits, and counts.
    Revoke,
}

/// The rate limiter has no room: as many calls wait already as can be sent within the longest wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimited {
    pub(crate) retry_after: Duration,
}

/// The circuit breaker is open: several calls in a row were not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) retry_after: Duration,
}

/// How many calls can be sent at once after a pause.
const BURST: u32 = 20;
/// A call that would wait longer is refused.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How many unanswered calls in a row open the breaker.
const OPEN_AFTER: u32 = 3;
/// How long the breaker stays open before one call probes the endpoint.
const OPEN_FOR: Duration = Duration::from_secs(5);

/// A generic cell rate algorithm: a burst, then evenly spaced calls.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    spacing: Duration,
    /// When the last call that was let through is paid for.
    next: Mutex<Instant>,
}

impl RateLimiter {
    pub(crate) fn new(calls_per_second: u32, now: Instant) -> Self {
        Self { spacing: Duration::from_secs(1) / calls_per_second.max(1), next: Mutex::new(now) }
    }

    /// Reserves a call; returns when it can be sent.
    pub(crate) fn acquire(&self, priority: Priority, now: Instant) -> Result<Instant, RateLimited> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(self.spacing * BURST).unwrap_or(now);
        let at = (*next).max(earliest) + self.spacing;
        match priority {
            Priority::Revoke => {
                *next = at;
                Ok(now)
            }
            Priority::Normal if at.saturating_duration_since(now) > LONGEST_WAIT => {
                Err(RateLimited { retry_after: at - now - LONGEST_WAIT })
            }
            Priority::Normal => {
                *next = at;
                Ok(at.max(now))
            }
        }
    }
}

/// Closed, open, or half open while one call probes the endpoint.
#[derive(Debug, Default)]
pub(crate) struct CircuitBreaker(Mutex<Breaker>);

#[derive(Debug, Default)]
struct Breaker {
    unanswered_in_a_row: u32,
    open_until: Option<Instant>,
}

impl CircuitBreaker {
    /// Lets a call through if the breaker is closed, or if this call is the one that probes the endpoint.
    pub(crate) fn acquire(&self, now: Instant) -> Result<(), Open> {
        let mut breaker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = breaker.open_until {
            if now < until {
                return Err(Open { retry_after: until - now });
            }
            breaker.open_until = Some(now + OPEN_FOR);
        }
        Ok(())
    }

    /// The endpoint answered, with success or with an error.
    pub(crate) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Breaker::default();
    }

    /// The endpoint did not answer in time.
    pub(crate) fn unanswered(&self, now: Instant) {
        let mut breaker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.unanswered_in_a_row += 1;
        if breaker.unanswered_in_a_row >= OPEN_AFTER {
            breaker.open_until = Some(now + OPEN_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_burst_is_sent_at_once_and_then_evenly() {
        let now = Instant::now();
        let limiter = RateLimiter::new(10, now);
        let later = now + secs(60);
        let times: Vec<_> = (0..40).map(|_| limiter.acquire(Priority::Normal, later).unwrap()).collect();
        assert_eq!(times.iter().filter(|at| **at == later).count(), 20);
        assert_eq!(times[39], later + secs(2));
        let refused = limiter.acquire(Priority::Normal, later);
        assert_eq!(refused, Err(RateLimited { retry_after: Duration::from_millis(100) }));
    }

    #[test]
    fn a_revoke_never_waits_but_counts() {
        let now = Instant::now();
        let limiter = RateLimiter::new(1, now);
        for _ in 0..100 {
            assert_eq!(limiter.acquire(Priority::Revoke, now), Ok(now));
        }
        assert!(limiter.acquire(Priority::Normal, now).is_err());
    }

    #[test]
    fn an_open_breaker_lets_one_probe_through() {
        let now = Instant::now();
        let breaker = CircuitBreaker::default();
        for _ in 0..OPEN_AFTER {
            assert_eq!(breaker.acquire(now), Ok(()));
            breaker.unanswered(now);
        }
        assert_eq!(breaker.acquire(now + secs(1)), Err(Open { retry_after: secs(4) }));
        let then = now + OPEN_FOR;
        assert!(breaker.acquire(then).is_ok());
        assert!(breaker.acquire(then).is_err(), "only one call probes");
        breaker.answered();
        assert!(breaker.acquire(then).is_ok());
    }
}
