//! Runs the points in parallel on several workers, each with its own emulator and clock.

use std::fmt::Debug;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use system_tests::aws::ministack::Ministack;

use super::fixture::KillFixture;

/// Runs every point and returns one message for each failed point. After a failure the worker uses a new account, so
/// that leftovers do not fail the next point.
pub(crate) fn work<P: Debug + Sync>(
    workers: usize,
    points: &[P],
    each: impl Fn(&mut KillFixture<'_>, &P) + Sync,
) -> Vec<String> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let emulator = Ministack::with_faketime();
                let mut fixture = KillFixture::new(&emulator, 0);
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let done = panic::catch_unwind(AssertUnwindSafe(|| each(&mut fixture, point)));
                    println!("{:5} ms {point:?}", began.elapsed().as_millis());
                    if let Err(cause) = done {
                        let text = cause.downcast_ref::<String>().cloned();
                        let text =
                            text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        failures.lock().unwrap().push(format!("{point:?}: {}", text.unwrap_or_default()));
                        let ahead = fixture.ahead();
                        fixture = KillFixture::new(&emulator, ahead);
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}
