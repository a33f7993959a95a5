//! When a failed call to a target is tried again.

use std::time::Duration;

use domain::NewEvent;
use protocol::{EventKind, Timestamp};
use targets::{Fault, TargetError};

/// The longest pause between two tries to revert a grant.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// After a call without an answer.
const AFTER_NO_ANSWER: Duration = Duration::from_millis(200);

/// The pause after so many failed tries to revert: 0.5 s, 1 s, 2 s, … up to a minute, for ever.
pub(super) fn backoff(attempts: u32) -> Duration {
    SHORTEST_PAUSE.saturating_mul(1 << attempts.min(10)).min(LONGEST_PAUSE)
}

/// Retries of one request until a point in time, each new reason reported once.
pub(super) struct Retries {
    until: Timestamp,
    last_reason: Option<String>,
}

impl Retries {
    pub(super) fn until(until: Timestamp) -> Self {
        Self { until, last_reason: None }
    }

    /// The pause before the next try; `None` if there is none.
    pub(super) fn pause(&self, error: &TargetError, now: Timestamp) -> Option<Duration> {
        let pause = match &error.fault {
            Fault::Refused => return None,
            Fault::Busy { retry_after } | Fault::Full { retry_after } => *retry_after,
            Fault::Unknown => AFTER_NO_ANSWER,
        };
        (now.plus(pause) < self.until).then_some(pause)
    }

    /// An event for the timeline, if this reason differs from the last one.
    pub(super) fn reason(&mut self, error: &TargetError, now: Timestamp) -> Option<NewEvent> {
        if self.last_reason.as_deref() == Some(error.what.as_str()) {
            return None;
        }
        self.last_reason = Some(error.what.clone());
        Some(NewEvent::new(now, EventKind::Target, format!("{error} · trying again")))
    }
}

/// The error that decides whether a batch is tried again.
pub(super) fn most_significant(errors: Vec<(usize, TargetError)>) -> Option<TargetError> {
    let rank = |error: &TargetError| match error.fault {
        Fault::Refused => 0,
        Fault::Full { .. } => 1,
        Fault::Unknown => 2,
        Fault::Busy { .. } => 3,
    };
    errors.into_iter().map(|(_, error)| error).min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_a_minute() {
        assert_eq!(backoff(0), Duration::from_millis(500));
        assert_eq!(backoff(3), Duration::from_secs(4));
        assert_eq!(backoff(1_000_000), LONGEST_PAUSE);
    }
}
