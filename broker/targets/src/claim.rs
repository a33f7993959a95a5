//! Until when may the holder of a claim send calls to the target?
//!
//! The store fences its own changes by version. The target knows no version, so the fence there is the end of the claim
//! ([ADR 22](../../../docs/adr/0022-send-no-call-after-its-claim-ends.md)): checked as late as possible before a call is
//! sent, because a process or a machine can be paused for hours between any two instructions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use protocol::Timestamp;

type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The time for which its holder may send calls, on the engine's clock.
#[derive(Clone)]
pub struct Claim(Option<(Timestamp, Now)>);

impl Claim {
    /// Ends at `ends`, by this clock.
    pub fn until(ends: Timestamp, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Some((ends, Arc::new(now))))
    }

    /// For calls that change nothing at the target.
    pub const fn not_needed() -> Self {
        Self(None)
    }

    /// Ends at `ends` at the latest.
    #[must_use]
    pub fn no_longer_than(&self, ends: Timestamp) -> Self {
        Self(self.0.as_ref().map(|(until, now)| ((*until).min(ends), Arc::clone(now))))
    }

    /// Whether it lasts for longer than `duration` from now on.
    pub fn lasts_for(&self, duration: Duration) -> bool {
        self.0.as_ref().is_none_or(|(ends, now)| now().plus(duration) < *ends)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((ends, _)) => write!(f, "Claim(until {ends})"),
            None => f.write_str("Claim(not needed)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_lasts_until_its_end_and_not_to_it() {
        let at = Timestamp::from_secs;
        let claim = Claim::until(at(30), move || at(20));
        assert!(claim.lasts_for(Duration::from_millis(9_999)));
        assert!(!claim.lasts_for(Duration::from_secs(10)));
        assert!(!claim.no_longer_than(at(20)).lasts_for(Duration::ZERO));
        assert!(!claim.no_longer_than(at(40)).lasts_for(Duration::from_secs(10)), "never longer than it was");
        assert!(Claim::not_needed().lasts_for(Duration::MAX));
    }
}
