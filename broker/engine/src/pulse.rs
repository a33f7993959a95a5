//! Does the worker still go its rounds?
//!
//! A broker whose worker has died answers, gives, and takes nothing back at a deadline: it is not ready.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::ErrorCode;
use tokio::time::Instant;

use crate::Refusal;

/// A round begins several times in a second; it is not waited for a minute.
const LATE: Duration = Duration::from_secs(60);

/// When the worker last began a round.
pub(crate) struct Pulse(Mutex<Rounds>);

#[derive(Clone, Copy)]
enum Rounds {
    NotYet,
    Last(Instant),
    Ended,
}

/// The worker's own end of it. Dropped with the worker, however that ends.
pub(crate) struct Going<'p>(&'p Pulse);

impl Pulse {
    pub(crate) fn none_yet() -> Self {
        Self(Mutex::new(Rounds::NotYet))
    }

    pub(crate) fn begin(&self) -> Going<'_> {
        self.set(Rounds::Last(Instant::now()));
        Going(self)
    }

    /// Refuses when the worker does not work.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let rounds = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match rounds {
            Rounds::Last(last) if last.elapsed() <= LATE => return Ok(()),
            Rounds::Last(last) => format!("its last round began {} s ago", last.elapsed().as_secs()),
            Rounds::NotYet => "it has not begun".to_owned(),
            Rounds::Ended => "it has ended".to_owned(),
        };
        let detail = format!("expected a worker that takes back what is due, found that {found}");
        Err(Refusal::new(ErrorCode::StoreUnavailable, detail).hint("the broker's log says why"))
    }

    fn set(&self, rounds: Rounds) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rounds;
    }
}

impl Going<'_> {
    /// Another round begins.
    pub(crate) fn round(&self) {
        self.0.set(Rounds::Last(Instant::now()));
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.set(Rounds::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pulse: &Pulse) -> String {
        pulse.check().map_or_else(|refusal| refusal.to_string(), |()| "ready".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_is_late_or_gone_is_told_from_one_that_works() {
        let pulse = Pulse::none_yet();
        assert!(found(&pulse).ends_with("it has not begun"));
        let going = pulse.begin();
        tokio::time::advance(LATE).await;
        assert_eq!(found(&pulse), "ready");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(found(&pulse).ends_with("its last round began 61 s ago"));
        going.round();
        assert_eq!(found(&pulse), "ready");
        drop(going);
        assert!(found(&pulse).ends_with("it has ended"));
    }
}
