//! The report of `doctor`: one line per finding.

use crate::error::CliError;
use crate::output::{Mark, Output};

/// The findings, told one by one as they are made, and counted.
pub(super) struct Report<'a> {
    output: &'a Output,
    checks: usize,
    failed: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self { output, checks: 0, failed: 0 }
    }

    pub(super) fn fine(&mut self, name: &str, text: &str) {
        self.checks += 1;
        self.output.line(Mark::Done, name, text);
    }

    pub(super) fn failed(&mut self, name: &str, text: &str, hint: Option<&str>) {
        self.checks += 1;
        self.failed += 1;
        self.output.line(Mark::Failed, name, text);
        if let Some(hint) = hint {
            self.output.hint(hint);
        }
    }

    pub(super) fn error(&mut self, name: &str, error: &CliError) {
        self.failed(name, &error.to_string(), error.hint());
    }

    /// Not a failure of its own: what it waits for has failed already.
    pub(super) fn skipped(&self, name: &str, why: &str) {
        self.output.line(Mark::Skipped, name, &format!("not checked: {why}"));
    }

    /// Belongs to the finding above it.
    pub(super) fn more(&self, text: &str) {
        self.output.line(Mark::Skipped, "", text);
    }

    /// The value, told in words, if there is one.
    pub(super) fn check<T>(
        &mut self,
        name: &str,
        result: Result<T, CliError>,
        words: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.fine(name, &words(&value));
                Some(value)
            }
            Err(error) => {
                self.error(name, &error);
                None
            }
        }
    }

    /// What was found, already in words.
    pub(super) fn outcome(&mut self, name: &str, result: Result<String, CliError>) {
        let _ = self.check(name, result, String::clone);
    }

    pub(super) fn finish(self) -> Result<(), CliError> {
        if self.failed == 0 {
            self.output.line(Mark::Done, "doctor", &format!("all {} checks passed", self.checks));
            Ok(())
        } else {
            Err(CliError::DoctorFailed { failed: self.failed, checks: self.checks })
        }
    }
}
