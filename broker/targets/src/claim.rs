//! The time within which the holder of a claim can send calls to the target.
//!
//! The store fences its own changes by version. The target knows no version, so its fence is the end of the claim
//! ([ADR 22](../../../docs/adr/0022-send-no-call-after-its-claim-ends.md)). Each call checks the claim as late as possible,
//! because a process or a machine can be paused for hours between any two instructions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use protocol::Timestamp;

type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Bounds when calls are sent, on the engine's clock.
#[derive(Clone)]
pub struct Claim(Option<(Timestamp, Now)>);

impl Claim {
    /// Ends at `ends` of this clock.
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

    /// Whether more than `duration` of the claim is left.
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
    fn a_claim_ends_just_before_its_end() {
        let at = Timestamp::from_secs;
        let claim = Claim::until(at(30), move || at(20));
        assert!(claim.lasts_for(Duration::from_millis(9_999)));
        assert!(!claim.lasts_for(Duration::from_secs(10)));
        assert!(!claim.no_longer_than(at(20)).lasts_for(Duration::ZERO));
        assert!(!claim.no_longer_than(at(40)).lasts_for(Duration::from_secs(10)), "the earlier end counts");
        assert!(Claim::not_needed().lasts_for(Duration::MAX));
    }
}
