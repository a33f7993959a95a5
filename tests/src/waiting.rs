//! How does a test wait for something that another process does?

use std::time::{Duration, Instant};

/// Far more than anything here takes, on a loaded machine too.
pub const SOON: Duration = Duration::from_secs(90);

/// Looks until there is an answer; fails the test when none comes.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(SOON, what, look)
}

/// The same, with a patience of one's own.
#[track_caller]
pub fn eventually_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        if Instant::now() >= deadline {
            panic!("{what}: did not come within {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Returns at a moment that the test chose, to the microsecond: for blows at a certain instant, not for waiting.
pub fn at(moment: Instant) {
    while Instant::now() < moment {
        std::thread::yield_now();
    }
}
