//! Measures the peak memory of the wrapper and the keeper.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::Effort;
use crate::figures::{Figure, Report, Samples, Target};
use crate::fixture::Fixture;
use crate::proc_files;

const LIMIT: f64 = 6000.0;

pub(super) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let runs = effort.pick(20, 1);
    let (mut wrapper, mut keeper, mut curl) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..runs {
        let (of_wrapper, of_keeper) = watched(fixture.run(&["sleep", "0.05"]))?;
        wrapper.push(of_wrapper);
        keeper.push(of_keeper.context("no keeper was seen")?);
        let mut command = Command::new("curl");
        command.args(["-sS", "--cacert"]).arg(&fixture.ca_file);
        curl.push(watched(command.arg(format!("{}/readyz", fixture.behind_tls.url)))?.0);
    }
    let mut figure = |claim, samples: &Samples| {
        report.figure(&Figure {
            claim,
            ratio: samples.median() / LIMIT,
            target: Target::AtMost(1.0),
            ours: format!("{:.1} MB", samples.median() / 1000.0),
            other: format!(
                "limit {:.1} MB · one GET by curl {:.1} MB",
                LIMIT / 1000.0,
                curl.median() / 1000.0
            ),
            runs,
        });
    };
    figure("peak memory of the wrapper", &wrapper);
    figure("peak memory of the keeper, which waits all the while", &keeper);
    Ok(())
}

/// Peak memory of a program and of its keeper, polled until the program ends.
fn watched(mut command: impl std::borrow::BorrowMut<Command>) -> Result<(f64, Option<f64>)> {
    let command = command.borrow_mut().stdout(Stdio::null()).stderr(Stdio::null());
    let mut process: Child = command.spawn()?;
    let pid = process.id();
    let (mut peak, mut keeper, mut of_keeper) = (None, None, None);
    while process.try_wait()?.is_none() {
        peak = proc_files::peak_memory(pid).or(peak);
        if keeper.is_none() {
            keeper = proc_files::children(pid)
                .into_iter()
                .find(|child| proc_files::is_called_with(*child, "keeper"));
        }
        of_keeper = keeper.and_then(proc_files::peak_memory).or(of_keeper);
    }
    Ok((peak.context("the program ended before it was polled")?, of_keeper))
}
