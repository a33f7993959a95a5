//! The report of `doctor`: one line per finding.

use crate::error::CliError;
use crate::output::{Mark, Output};

/// Prints the findings one by one, and counts them.
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

    /// Prints that a check was skipped. That is no failure: the check that it needs has failed already.
    pub(super) fn skipped(&self, name: &str, why: &str) {
        self.output.line(Mark::Skipped, name, &format!("not checked: {why}"));
    }

    /// Prints a detail of the finding above.
    pub(super) fn more(&self, text: &str) {
        self.output.line(Mark::Skipped, "", text);
    }

    /// Prints the result in words, and returns the value if there is one.
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

    /// Prints a result that is already in words.
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
