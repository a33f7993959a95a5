//! A movable wall clock that several processes share.
//!
//! `libfaketime` under dynamically linked processes: Python, the AWS CLI, the broker as tests build it. It does not
//! work on a static binary. Only the wall clock moves; timers run as always. A process that signs requests needs the
//! emulator's clock, because the emulator refuses a signature that is 15 minutes old (for EKS and ECS: 5).

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::python;

/// A clock that starts at the machine's time and can be moved forwards.
pub struct Clock {
    folder: tempfile::TempDir,
    ahead: Mutex<Duration>,
}

impl Clock {
    pub(super) fn new() -> Self {
        let clock =
            Self { folder: tempfile::tempdir().expect("a folder"), ahead: Mutex::new(Duration::ZERO) };
        clock.advance(Duration::ZERO);
        clock
    }

    /// Moves the clock forwards for all processes that share it.
    pub fn advance(&self, by: Duration) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        *ahead += by;
        // Replaces the file atomically: processes read it at every call for the time.
        let next = self.folder.path().join("next");
        fs::write(&next, format!("+{}\n", ahead.as_secs())).expect("a file");
        fs::rename(next, self.file()).expect("the file in its place");
    }

    /// The environment of a process that shares the clock.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", python::tool("libfaketime.so.1").display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// The same, as words to put before a command line.
    pub fn launcher(&self) -> Vec<String> {
        let variables = self.environment().into_iter().map(|(name, value)| format!("{name}={value}"));
        std::iter::once("env".to_owned()).chain(variables).collect()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}
