//! How often may an agent elevate, be refused, and fail to prove who asks?
//!
//! Each has a budget of its own. Requests with the auth token alone must not keep the genuine workload from elevating,
//! nor its refusals from being recorded; and refusals, which are written down, must not come as fast as elevations.

use protocol::{AgentId, ErrorCode, Timestamp};

use crate::{Pace, Refusal};

/// Requests that get nothing have a tenth of what elevations have,
const REFUSED_SHARE: u32 = 10;
/// but at least this many a minute.
const REFUSED_AT_LEAST: u32 = 10;

/// What of an agent's requests is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Within the boundary.
    Elevation,
    /// The identity is proven, the boundary is not kept to.
    Denied,
    /// The identity is not proven.
    Unproven,
}

/// The budgets of every agent.
pub(crate) struct Budgets {
    elevations: Pace<AgentId>,
    denied: Pace<AgentId>,
    unproven: Pace<AgentId>,
}

impl Budgets {
    pub(crate) fn new(elevations_per_minute: u32) -> Self {
        let refused = refused_per_minute(elevations_per_minute);
        Self {
            elevations: Pace::new(elevations_per_minute),
            denied: Pace::new(refused),
            unproven: Pace::new(refused),
        }
    }

    /// Other numbers from now on.
    pub(crate) fn set(&self, elevations_per_minute: u32) {
        let refused = refused_per_minute(elevations_per_minute);
        self.elevations.set(elevations_per_minute);
        self.denied.set(refused);
        self.unproven.set(refused);
    }

    /// Takes one request of this kind, or refuses it.
    pub(crate) fn take(&self, kind: Kind, agent: &AgentId, now: Timestamp) -> Result<(), Refusal> {
        let pace = self.of(kind);
        pace.take(agent.clone(), now).map_err(|wait| {
            let (most, seconds) = (pace.per_minute(), wait.as_secs() + 1);
            let detail = match kind {
                Kind::Elevation => {
                    format!("agent `{agent}` asks too often: expected at most {most} elevations a minute")
                }
                Kind::Denied => format!(
                    "agent `{agent}` is refused too often: expected at most {most} requests a minute outside its boundary"
                ),
                Kind::Unproven => format!(
                    "agent `{agent}` is asked for too often without proof: expected at most {most} requests a minute whose identity is not proven"
                ),
            };
            Refusal::new(ErrorCode::RateLimited, detail)
                .hint(format!("try again in {seconds} s"))
                .retry_after(seconds)
        })
    }

    /// Puts back what was taken for a request that turned out to be of another kind.
    pub(crate) fn put_back(&self, kind: Kind, agent: &AgentId) {
        self.of(kind).put_back(agent);
    }

    fn of(&self, kind: Kind) -> &Pace<AgentId> {
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
    fn each_kind_has_a_budget_of_its_own() {
        let (budgets, now) = (Budgets::new(600), Timestamp::from_secs(1000));
        let agent: AgentId = "orders-agent".parse().unwrap();
        for (kind, most) in [(Kind::Unproven, 60), (Kind::Denied, 60), (Kind::Elevation, 600)] {
            for n in 0..most {
                assert!(budgets.take(kind, &agent, now).is_ok(), "{kind:?} {n}");
            }
            let refusal = budgets.take(kind, &agent, now).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::RateLimited);
            assert!(refusal.detail.contains(&format!("at most {most} ")), "{}", refusal.detail);
            assert!(refusal.retry_after.is_some());
        }
        budgets.put_back(Kind::Elevation, &agent);
        assert!(budgets.take(Kind::Elevation, &agent, now).is_ok());
        assert!(budgets.take(Kind::Elevation, &agent, now).is_err());
    }

    #[test]
    fn a_slow_agent_may_still_be_told_why_it_is_refused() {
        assert_eq!(refused_per_minute(3), 10);
        assert_eq!(refused_per_minute(1_000_000), 100_000);
    }
}
