//! What time is it? The only place that asks; everything else is told.

use std::time::{SystemTime, UNIX_EPOCH};

use protocol::Timestamp;

/// The time by this machine's clock, which need not be the broker's.
#[expect(clippy::disallowed_methods, reason = "the clock itself")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
