//! Rate limits per agent: one for elevations, one for denied requests, one for requests without proof of identity.
//!
//! They are separate, so that requests with only a stolen auth token neither keep the workload from elevating nor its
//! denials from being recorded; and denials, which are written to the store, must not come as fast as elevations.

use protocol::{AgentId, ErrorCode, Timestamp};

use crate::{RateLimiter, Refusal};

/// The limits of the others are a tenth of that of elevations,
const REFUSED_SHARE: u32 = 10;
/// but at least this many a minute.
const REFUSED_AT_LEAST: u32 = 10;

/// Kinds of requests that are limited separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Within the boundary.
    Elevation,
    /// The identity is proven, and the boundary denies the request.
    Denied,
    /// The identity is not proven.
    Unproven,
}

/// The limits of every agent.
pub(crate) struct RequestLimits {
    elevations: RateLimiter<AgentId>,
    denied: RateLimiter<AgentId>,
    unproven: RateLimiter<AgentId>,
}

impl RequestLimits {
    pub(crate) fn new(elevations_per_minute: u32) -> Self {
        let refused = refused_per_minute(elevations_per_minute);
        Self {
            elevations: RateLimiter::new(elevations_per_minute),
            denied: RateLimiter::new(refused),
            unproven: RateLimiter::new(refused),
        }
    }

    pub(crate) fn set(&self, elevations_per_minute: u32) {
        let refused = refused_per_minute(elevations_per_minute);
        self.elevations.set(elevations_per_minute);
        self.denied.set(refused);
        self.unproven.set(refused);
    }

    /// Counts a request of this kind, or refuses it.
    pub(crate) fn acquire(&self, kind: Kind, agent: &AgentId, now: Timestamp) -> Result<(), Refusal> {
        let limiter = self.of(kind);
        limiter.try_acquire(agent.clone(), now).map_err(|wait| {
            let (most, seconds) = (limiter.per_minute(), wait.as_secs() + 1);
            let detail = match kind {
                Kind::Elevation => {
                    format!("agent `{agent}` elevates too often: expected at most {most} elevations a minute")
                }
                Kind::Denied => format!(
                    "agent `{agent}` is refused too often: expected at most {most} requests a minute outside its boundary"
                ),
                Kind::Unproven => format!(
                    "agent `{agent}` is requested too often without proof: expected at most {most} requests a minute without a proven identity"
                ),
            };
            Refusal::new(ErrorCode::RateLimited, detail)
                .hint(format!("try again in {seconds} s"))
                .retry_after(seconds)
        })
    }

    /// Refunds a request that turned out to be of another kind.
    pub(crate) fn refund(&self, kind: Kind, agent: &AgentId) {
        self.of(kind).refund(agent);
    }

    fn of(&self, kind: Kind) -> &RateLimiter<AgentId> {
        match kind {
            Kind::Elevation => &self.elevations,
            Kind::Denied => &self.denied,
            Kind::Unproven => &self.unproven,
        }
    }
}

fn refused_per_minute(elevations_per_minute: u32) -> u32 {
    (elevations_per_minute / REFUSED_SHARE).max(REFUSED_AT_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_request_has_its_own_limit() {
        let (limits, now) = (RequestLimits::new(600), Timestamp::from_secs(1000));
        let agent: AgentId = "orders-agent".parse().unwrap();
        for (kind, most) in [(Kind::Unproven, 60), (Kind::Denied, 60), (Kind::Elevation, 600)] {
            for n in 0..most {
                assert!(limits.acquire(kind, &agent, now).is_ok(), "{kind:?} {n}");
            }
            let refusal = limits.acquire(kind, &agent, now).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::RateLimited);
            assert!(refusal.detail.contains(&format!("at most {most} ")), "{}", refusal.detail);
            assert!(refusal.retry_after.is_some());
        }
        limits.refund(Kind::Elevation, &agent);
        assert!(limits.acquire(Kind::Elevation, &agent, now).is_ok());
        assert!(limits.acquire(Kind::Elevation, &agent, now).is_err());
    }

    #[test]
    fn denied_requests_have_at_least_ten_per_minute() {
        assert_eq!(refused_per_minute(3), 10);
        assert_eq!(refused_per_minute(1_000_000), 100_000);
    }
}
