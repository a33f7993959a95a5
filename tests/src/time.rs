//! The time, as bodies of requests write it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::Timestamp;

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of a system that reports to the broker is the machine's"
)]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Seconds since 1970.
pub fn seconds() -> i64 {
    now().as_secs()
}

/// So many milliseconds from now, in RFC 3339.
pub fn in_millis(millis: u64) -> String {
    now().plus(Duration::from_millis(millis)).to_string()
}
