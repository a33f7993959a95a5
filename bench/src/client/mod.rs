//! What does the client cost?

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
use crate::scene::Scene;

pub(crate) fn measure(scene: &Scene, effort: Effort, report: &mut Report) -> Result<()> {
    report.section("client");
    size::measure(scene, report)?;
    whole_run::measure(scene, effort, report)?;
    network::measure(scene, report)?;
    memory::measure(scene, effort, report)?;
    step_time::measure(scene, effort, report)?;
    pipe::measure(scene, effort, report)
}

/// Runs it to its end, silently; an error unless it succeeds.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "`{}`: {status}", command.get_program().to_string_lossy());
    Ok(())
}
