//! When "not found" proves that an object is gone. IAM is eventually consistent.

use std::time::Duration;

use domain::{Grant, State};
use protocol::Timestamp;

use crate::Removal;

/// How long AWS takes to show a change everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Consistency {
    /// How long after a change it is read back.
    pub(super) read_back_delay: Duration,
    /// How long after a call without an answer AWS may still apply it.
    pub(super) late_write_window: Duration,
}

impl Consistency {
    pub(super) fn read_back_at(self, now: Timestamp) -> Timestamp {
        now.plus(self.read_back_delay)
    }

    /// The result of a revert that found nothing: confirmed only when no write of this grant can be applied any more.
    pub(super) fn not_found(self, grant: &Grant, now: Timestamp, proof: &str) -> Removal {
        let certain_from = grant.begins_at().plus(self.late_write_window);
        // The driver repeats a roll-back until no write can be applied any more.
        if now >= certain_from || matches!(grant.state, State::RollingBack { .. }) {
            return Removal::confirmed(proof);
        }
        Removal::Pending {
            receipt: format!("{proof} · to be looked for again"),
            observe_at: certain_from.max(self.read_back_at(now)),
        }
    }
}
