//! Measures SQLite's own transactions per second: Python's SQLite writes the broker's tables and rows.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::fixture::{Database, Fixture};

const SCRIPT: &str = include_str!("bare.py");

/// A database on the same disk as the broker's. Its process ends when this is dropped.
pub(super) struct Bare {
    process: Child,
    orders: Option<ChildStdin>,
    rates: BufReader<ChildStdout>,
}

/// The contents of a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows {
    /// The broker's writes of an elevate and of a revoke.
    TheSame,
    /// The smallest write: one number changes.
    One,
}

impl Bare {
    /// Copies the pattern from the broker's database, which must hold a revoked grant.
    pub(super) fn beside(fixture: &Fixture) -> Result<Self> {
        let Database::File(theirs) = &fixture.in_the_clear.database else {
            bail!("expected a broker on SQLite");
        };
        let mut process = Command::new("python3")
            .args(["-c", SCRIPT])
            .arg(theirs)
            .arg(fixture.folder.path().join("bare.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start `python3`")?;
        let orders = process.stdin.take();
        let rates = BufReader::new(process.stdout.take().context("`python3` has no standard output")?);
        Ok(Self { process, orders, rates })
    }

    /// Transactions per second.
    pub(super) fn rate(&mut self, rows: Rows, seconds: f64) -> Result<f64> {
        let rows = match rows {
            Rows::TheSame => "same",
            Rows::One => "one",
        };
        writeln!(self.orders.as_mut().context("`python3` has no standard input")?, "{rows} {seconds}")?;
        let mut rate = String::new();
        self.rates.read_line(&mut rate)?;
        rate.trim()
            .parse()
            .with_context(|| format!("expected a rate from `python3`, found `{}`", rate.trim()))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // The process ends at the end of its input.
        self.orders = None;
        let _ = self.process.wait();
    }
}
