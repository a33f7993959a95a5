//! The system clock, which the library reads only as the default of [`crate::Client`].

use std::time::{SystemTime, UNIX_EPOCH};

use protocol::Timestamp;

/// Tells the time.
pub type Clock = fn() -> Timestamp;

/// The time by this machine's clock, which need not agree with the broker's.
#[expect(clippy::disallowed_methods, reason = "the clock itself")]
pub fn system_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
