//! Reads the wall clock, which the broker reads too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970.
pub(crate) fn wall() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "processes compare times here: no other clock is theirs in common"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds from `earlier` to `later`; negative if `later` is before `earlier`.
pub(crate) fn millis_between(earlier: Duration, later: Duration) -> f64 {
    (later.as_secs_f64() - earlier.as_secs_f64()) * 1000.0
}
