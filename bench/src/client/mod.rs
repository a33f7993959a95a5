//! Measures the client: size, start, runs, memory, network and output.

mod memory;
mod network;
mod pipe;
mod size;
mod step_time;
mod whole_run;

use anyhow::{Result, ensure};
use std::process::{Command, Stdio};

use crate::Effort;
use crate::figures::Report;
use crate::fixture::Fixture;

pub(crate) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    report.section("client");
    size::measure(fixture, report)?;
    whole_run::measure(fixture, effort, report)?;
    network::measure(fixture, report)?;
    memory::measure(fixture, effort, report)?;
    step_time::measure(fixture, effort, report)?;
    pipe::measure(fixture, effort, report)
}

/// Runs the command to its end without output; an error unless it succeeds.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "`{}`: {status}", command.get_program().to_string_lossy());
    Ok(())
}
