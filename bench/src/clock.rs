//! What time is it, on the clock that the broker reads too?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since 1970.
pub(crate) fn wall() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "processes compare times here: no other clock is theirs in common"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds from `earlier` to `later`, below zero if they are the other way round.
pub(crate) fn millis_between(earlier: Duration, later: Duration) -> f64 {
    (later.as_secs_f64() - earlier.as_secs_f64()) * 1000.0
}
