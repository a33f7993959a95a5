//! How many transactions does SQLite do without us? Python's own SQLite is asked, with our tables and rows.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::scene::Scene;

const SCRIPT: &str = include_str!("bare.py");

/// A database on the same disk as the broker's.
pub(super) struct Bare {
    pattern: PathBuf,
    database: PathBuf,
}

/// What a transaction writes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows {
    /// What the broker writes in the four moves of a grant's life.
    TheSame,
    /// The least: one small number changes.
    One,
}

impl Bare {
    pub(super) fn beside(scene: &Scene) -> Self {
        Self { pattern: scene.in_the_clear.database.clone(), database: scene.folder.path().join("bare.db") }
    }

    /// Transactions in a second.
    pub(super) fn rate(&self, rows: Rows, seconds: f64) -> Result<f64> {
        let rows = match rows {
            Rows::TheSame => "same",
            Rows::One => "one",
        };
        let output = Command::new("python3")
            .args(["-c", SCRIPT])
            .args([&self.pattern, &self.database])
            .args([rows, &seconds.to_string()])
            .output()
            .context("cannot start `python3`")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout)?.trim().parse().context("a rate")
    }
}
