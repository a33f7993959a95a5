//! Measures the size of the client's binary.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::figures::{Figure, Report, Target};
use crate::fixture::Fixture;

const LIMIT: f64 = 3_400_000.0;
const LIMIT_GZIPPED: f64 = 1_750_000.0;

pub(super) fn measure(fixture: &Fixture, report: &mut Report) -> Result<()> {
    let client = &fixture.programs.client;
    let gzipped = Command::new("gzip").args(["-9", "-c"]).arg(client).output()?;
    ensure!(gzipped.status.success(), "`gzip` failed");
    let plain = size(usize::try_from(client.metadata()?.len())?);
    let gzipped = size(gzipped.stdout.len());
    let figure = |claim, found: f64, limit: f64| Figure {
        claim,
        ratio: found / limit,
        target: Target::AtMost(1.0),
        ours: format!("{:.2} MB", found / 1e6),
        other: format!("limit {:.1} MB", limit / 1e6),
        runs: 1,
    };
    report.figure(&figure("size of the program", plain, LIMIT));
    report.figure(&figure("size, gzipped", gzipped, LIMIT_GZIPPED));
    Ok(())
}

fn size(bytes: usize) -> f64 {
    bytes as f64
}
