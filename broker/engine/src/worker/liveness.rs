//! Whether the worker runs. A broker without one answers and provisions, but ends nothing at its deadline: it is not
//! ready.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::ErrorCode;
use tokio::time::Instant;

use crate::Refusal;

/// A round begins several times a second, and never waits this long.
const LATE_AFTER: Duration = Duration::from_secs(60);

/// When the worker last began a round.
pub(crate) struct WorkerLiveness(Mutex<Rounds>);

#[derive(Clone, Copy)]
enum Rounds {
    NotStarted,
    Last(Instant),
    Ended,
}

/// Held by the worker; dropping it says that the worker has ended.
pub(crate) struct LivenessGuard<'l>(&'l WorkerLiveness);

impl WorkerLiveness {
    pub(crate) fn not_started() -> Self {
        Self(Mutex::new(Rounds::NotStarted))
    }

    pub(crate) fn start(&self) -> LivenessGuard<'_> {
        self.set(Rounds::Last(Instant::now()));
        LivenessGuard(self)
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let rounds = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match rounds {
            Rounds::Last(last) if last.elapsed() <= LATE_AFTER => return Ok(()),
            Rounds::Last(last) => format!("its last round began {} s ago", last.elapsed().as_secs()),
            Rounds::NotStarted => "it has not started".to_owned(),
            Rounds::Ended => "it has ended".to_owned(),
        };
        let detail = format!("expected a running worker, found that {found}");
        Err(Refusal::new(ErrorCode::WorkerNotRunning, detail).hint(
            "grants do not end at their deadlines: restart the broker; its log says why the worker stopped",
        ))
    }

    fn set(&self, rounds: Rounds) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rounds;
    }
}

impl LivenessGuard<'_> {
    pub(crate) fn round(&self) {
        self.0.set(Rounds::Last(Instant::now()));
    }
}

impl Drop for LivenessGuard<'_> {
    fn drop(&mut self) {
        self.0.set(Rounds::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(liveness: &WorkerLiveness) -> String {
        liveness.check().map_or_else(|refusal| refusal.to_string(), |()| "ready".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn worker_that_is_late_or_has_ended_is_reported() {
        let liveness = WorkerLiveness::not_started();
        assert!(found(&liveness).ends_with("it has not started"));
        let guard = liveness.start();
        tokio::time::advance(LATE_AFTER).await;
        assert_eq!(found(&liveness), "ready");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(found(&liveness).ends_with("its last round began 61 s ago"));
        guard.round();
        assert_eq!(found(&liveness), "ready");
        drop(guard);
        assert!(found(&liveness).ends_with("it has ended"));
        assert_eq!(liveness.check().unwrap_err().code, ErrorCode::WorkerNotRunning);
    }
}
