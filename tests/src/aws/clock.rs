//! What time is it for the processes that share this clock?
//!
//! `libfaketime` under processes that are linked dynamically: Python, the AWS CLI, our broker as tests build it.
//! It cannot work on a static binary. Only the calendar is moved; timers run as always. Whoever signs requests
//! needs the same clock as the emulator, which refuses what was signed 15 minutes ago (for EKS and ECS: 5).

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

    /// Moves it forwards, for all who share it, at once.
    pub fn advance(&self, by: Duration) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        *ahead += by;
        // Put in place whole: it is read again for every look at the clock.
        let next = self.folder.path().join("next");
        fs::write(&next, format!("+{}\n", ahead.as_secs())).expect("a file");
        fs::rename(next, self.file()).expect("the file in its place");
    }

    /// What has to be in the environment of a process that shares it.
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
