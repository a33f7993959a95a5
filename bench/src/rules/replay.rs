//! Measures how long it takes to decide a million recorded decisions again.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::table::Table;
use super::{apply, broker, fill, folder, rules};
use crate::broker::load::pair;
use crate::connection::Connection;
use crate::figures::{Figure, Report, Target};
use crate::fixture::{Fixture, new_key};
use crate::{Effort, proc_files};

const WITHIN_SECONDS: f64 = 600.0;
const MEMORY: f64 = 150.0;

pub(super) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let count = effort.pick(1_000_000, 300);
    let rules = rules(effort);
    let table = Table::of(rules);
    let mut broker = broker(fixture, "replay")?;
    apply(fixture, &broker, &table)?;
    pair(&mut Connection::open(broker.port)?, &broker, &fixture.elevation(), &new_key())?;
    broker.stop();
    fill::decisions(&broker.database, count)?;
    broker.start_again()?;
    let folder = folder(fixture, &Table { matching: rules, of_others: 1, and: None })?;
    let begin = Instant::now();
    let output = fixture
        .operator_of(
            &broker,
            &["rules", "replay", "--since", "30d", "--candidate", &folder, "--output", "json"],
        )
        .output()?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(output.status.success(), "replay failed: {}", String::from_utf8_lossy(&output.stderr));
    let comparison: Value = serde_json::from_slice(&output.stdout)?;
    let (decisions, same) = (comparison.get("decisions"), comparison.get("same"));
    // The pattern is replayed with its copies.
    let expected = count + 1;
    ensure!(
        decisions.and_then(Value::as_u64) == Some(expected) && same == decisions,
        "expected {expected} decisions with the same answers, found {comparison}"
    );
    report.figure(&Figure {
        claim: &format!(
            "{count} recorded decisions against {rules} rules: the whole replay, against 10 minutes"
        ),
        ratio: seconds / WITHIN_SECONDS,
        target: Target::AtMost(1.0),
        ours: format!("{seconds:.0} s, {:.0} decisions/s", count as f64 / seconds),
        other: "limit 600 s".to_owned(),
        runs: 1,
    });
    let memory = proc_files::peak_memory(broker.pid()?).context("a running broker")? / 1000.0;
    report.figure(&Figure {
        claim: &format!("peak memory of the broker after it, against {MEMORY} MB"),
        ratio: memory / MEMORY,
        target: Target::AtMost(1.0),
        ours: format!("{memory:.1} MB"),
        other: "resident".to_owned(),
        runs: 1,
    });
    Ok(())
}
