//! Polls until another process has done what the test expects.

use std::time::{Duration, Instant};

/// Far longer than any wait of these tests, on a loaded machine too.
pub const SOON: Duration = Duration::from_secs(90);

/// Polls until there is a value; fails the test after a deadline.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(SOON, what, look)
}

/// The same, with this deadline.
#[track_caller]
pub fn eventually_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        if Instant::now() >= deadline {
            panic!("{what}: did not happen within {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Sleeps and spins until an instant, exact to the microsecond: for faults at a chosen instant, not for waiting.
pub fn at(moment: Instant) {
    while Instant::now() < moment {
        std::thread::yield_now();
    }
}
