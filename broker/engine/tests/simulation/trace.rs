//! Records the trace of a run, in order, and the violations in it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::Clock;
use protocol::Timestamp;
use tokio::time::Instant;

/// The start of a run, in milliseconds.
const BEGIN: i64 = 1_000_000_000_000;

/// The time that the runtime simulates. A replica's clock differs from it a little.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    begin: Instant,
    ahead: Duration,
    behind: Duration,
}

impl Time {
    pub(crate) fn begin() -> Self {
        Self { begin: Instant::now(), ahead: Duration::ZERO, behind: Duration::ZERO }
    }

    pub(crate) fn off_by(self, ahead: Duration, behind: Duration) -> Self {
        Self { ahead, behind, ..self }
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(BEGIN).plus(self.begin.elapsed()).plus(self.ahead).minus(self.behind)
    }
}

/// The trace and the violations of a run.
pub(crate) struct Trace {
    time: Time,
    lines: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

impl Trace {
    pub(crate) fn begin(time: Time) -> Self {
        Self { time, lines: Mutex::default(), wrong: Mutex::default() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.time.now()
    }

    pub(crate) fn say(&self, what: &str) {
        let line = format!("{:9.3} {what}", self.time.begin.elapsed().as_secs_f64());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Records a violation.
    pub(crate) fn wrong(&self, what: &str) {
        self.say(&format!("WRONG: {what}"));
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if !wrong.iter().any(|one| one == what) {
            wrong.push(what.to_owned());
        }
    }

    pub(crate) fn is_wrong(&self) -> bool {
        !self.wrong.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn all_wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
