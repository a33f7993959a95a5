//! Fills a database with decisions, as copies of one decision of its broker.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::fixture::Database;

const SCRIPT: &str = include_str!("fill.py");

/// Copies the newest decision, spread over the last 29 days. The broker must be stopped.
pub(super) fn decisions(database: &Database, count: u64) -> Result<()> {
    script(database, &["decisions".to_owned(), count.to_string()])
}

/// Gives each live grant a copy of the pattern's decision. Of the live grants, `size` each are of `REPOSITORY-0`,
/// `REPOSITORY-1` and so on. The broker must be stopped.
pub(super) fn of_grants(
    database: &Database,
    pattern: &str,
    repository: &str,
    groups: usize,
    size: u64,
) -> Result<()> {
    let mut arguments = vec!["grants".to_owned(), pattern.to_owned(), repository.to_owned()];
    arguments.extend(std::iter::repeat_n(size.to_string(), groups));
    script(database, &arguments)
}

/// How many grants have an event of this kind.
pub(super) fn events(database: &Database, kind: &str) -> Result<u64> {
    let count = "import sqlite3, sys; print(sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True).execute(\
                 'SELECT count(DISTINCT grant_number) FROM events WHERE kind = ?', [sys.argv[2]]).fetchone()[0])";
    let output = python(database, count, &[kind.to_owned()])?;
    Ok(output.trim().parse()?)
}

fn script(database: &Database, arguments: &[String]) -> Result<()> {
    python(database, SCRIPT, arguments).map(drop)
}

fn python(database: &Database, script: &str, arguments: &[String]) -> Result<String> {
    let Database::File(path) = database else { bail!("expected a broker on SQLite") };
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .args(arguments)
        .output()
        .context("cannot start `python3`")?;
    ensure!(output.status.success(), "python3: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
