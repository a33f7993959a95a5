//! Prints the steps of a command, their times, and warnings at the end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A list of steps, printed as they run. The first failure ends it.
#[derive(Debug)]
pub(crate) struct Steps {
    command: &'static str,
    started: Instant,
    count: usize,
    remarks: Vec<String>,
}

impl Steps {
    /// The steps of this command.
    pub(crate) fn of(command: &'static str) -> Self {
        Self { command, started: Instant::now(), count: 0, remarks: Vec::new() }
    }

    /// Runs one step.
    pub(crate) fn step<T>(&mut self, name: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n▸ {name}");
        let started = Instant::now();
        let outcome = body();
        let took = shown(started.elapsed());
        match outcome {
            Ok(value) => {
                self.count += 1;
                println!("✓ {name} · {took}");
                Ok(value)
            }
            Err(error) => {
                println!("✗ {name} · {took}");
                Err(error).with_context(|| format!("`cargo xtask {}` stopped at: {name}", self.command))
            }
        }
    }

    /// Prints a warning, now and again at the end.
    pub(crate) fn remark(&mut self, text: String) {
        println!("! {text}");
        self.remarks.push(text);
    }

    /// Prints the summary.
    pub(crate) fn finish(self) {
        println!();
        for remark in &self.remarks {
            println!("! {remark}");
        }
        println!("✓ cargo xtask {} · {} steps · {}", self.command, self.count, shown(self.started.elapsed()));
    }
}

fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 60 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{:.1}s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_names_itself_and_the_command() {
        let failed = Steps::of("lint").step("look closely", || anyhow::bail!("crooked")) as Result<()>;
        assert_eq!(
            format!("{:#}", failed.unwrap_err()),
            "`cargo xtask lint` stopped at: look closely: crooked"
        );
    }

    #[test]
    fn durations_are_short_to_read() {
        assert_eq!(shown(Duration::from_millis(1234)), "1.2s");
        assert_eq!(shown(Duration::from_secs(125)), "2m05s");
    }
}
