//! Compares the time of a step under the client with its time alone.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Effort;
use crate::figures::{Figure, Report, Target, interleaved, timed};
use crate::fixture::Fixture;
use crate::step;

pub(super) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let runs = effort.pick(20, 1);
    let this = std::env::current_exe()?.display().to_string();
    let rounds = step::rounds_for(effort.pick(1000.0, 20.0)).to_string();
    let work = [this.as_str(), "step", "spin", &rounds];
    let whole = interleaved(
        runs,
        || timed(|| own_time(&mut fixture.run(&work)).map(drop)),
        || timed(|| own_time(Command::new(&this).args(["step", "spin", &rounds]).env_clear()).map(drop)),
    )?;
    let own = interleaved(
        runs,
        || own_time(&mut fixture.run(&work)),
        || own_time(Command::new(&this).args(["step", "spin", &rounds]).env_clear()),
    )?;
    for (claim, pairs) in [
        ("the step's own time, with against without us", &own),
        ("a step of one second as a whole: elevate, step, revoke, against the step alone", &whole),
    ] {
        report.figure(&Figure {
            claim,
            ratio: pairs.ratio(),
            target: Target::AtMost(1.01),
            ours: format!("{:.1} ms", pairs.ours.median()),
            other: format!("alone {:.1} ms", pairs.other.median()),
            runs: pairs.other.len(),
        });
    }
    Ok(())
}

/// The milliseconds that the step reports.
fn own_time(command: &mut Command) -> Result<f64> {
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.trim().parse().context("the step reports no milliseconds")
}
