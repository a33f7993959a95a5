//! Measures how soon a grant ends when its step ends or its wrapper is killed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use protocol::{EventKind, Timeline};

use crate::Effort;
use crate::clock::{self, millis_between};
use crate::figures::{Figure, Report, Samples, Target};
use crate::fixture::Fixture;

/// After this time a revoke counts as missing.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    report.section("ends");
    step_ends(fixture, effort, report)?;
    wrapper_killed(fixture, effort, report)
}

/// The broker's rows carry the time before their commit. The wrapper prints `✓ revoke` after the broker's response
/// that the grant has ended, and the broker responds after the commit: that line therefore bounds the commit from
/// above. The bound also includes the response's way to the wrapper and the line's way to this process.
fn step_ends(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let this = std::env::current_exe()?.display().to_string();
    let runs = effort.pick(300, 3);
    let (mut decided, mut committed) = (Samples::default(), Samples::default());
    for run in 0..=runs {
        let mut wrapper = fixture
            .run(&[&this, "step", "now"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the wrapper cannot be started")?;
        let told =
            revoke_told(BufReader::new(wrapper.stderr.take().context("the wrapper has no standard error")?))?;
        let output = wrapper.wait_with_output()?;
        ensure!(output.status.success(), "the wrapper has ended with {}", output.status);
        let said = String::from_utf8(output.stdout)?;
        let (grant, nanos) = said.trim().split_once(' ').context("the step printed no grant and time")?;
        let exited = Duration::from_nanos(nanos.parse()?);
        let timeline = fixture.timeline(grant)?;
        // The first run is a warm-up.
        if run > 0 {
            decided.push(millis_between(exited, at(&timeline, EventKind::Revoke)?));
            committed.push(millis_between(exited, told));
        }
    }
    figure(report, "step's last instruction to the REVOKE row's time, p99", 10.0, &decided);
    figure(
        report,
        "the same to a bound for its commit (the wrapper has the answer and says so), p99",
        10.0,
        &committed,
    );
    Ok(())
}

/// When the wrapper reports the revoke. Reads to the end, so that the wrapper never blocks on a full pipe.
fn revoke_told(lines: impl BufRead) -> Result<Duration> {
    let (mut told, mut all) = (None, String::new());
    for line in lines.lines() {
        let (line, now) = (line?, clock::wall());
        if told.is_none() && line.starts_with("✓ revoke") {
            told = Some(now);
        }
        all.push_str(&line);
        all.push('\n');
    }
    told.with_context(|| format!("expected a line `✓ revoke`, found {all}"))
}

fn wrapper_killed(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let runs = effort.pick(100, 2);
    let mut committed = Samples::default();
    for run in 0..=runs {
        // The step ends when its standard input closes, so that it does not outlive its wrapper.
        let mut command = fixture.run(&["sh", "-c", "echo $CLOUDANIX_GRANT_ID; exec cat"]);
        let mut wrapper =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut grant = String::new();
        BufReader::new(wrapper.stdout.take().context("the wrapper has no standard output")?)
            .read_line(&mut grant)?;
        let killed = clock::wall();
        wrapper.kill()?;
        wrapper.wait()?;
        drop(wrapper.stdin.take());
        ended(fixture, grant.trim())?;
        if run > 0 {
            committed.push(millis_between(killed, clock::wall()));
        }
    }
    figure(
        report,
        "SIGKILL of the wrapper to a bound for the commit of the keeper's revoke, p99",
        1000.0,
        &committed,
    );
    Ok(())
}

/// Returns when a reader sees the end of the grant, at most one poll interval after the commit.
fn ended(fixture: &Fixture, grant: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let timeline = fixture.timeline(grant)?;
        if timeline.events.iter().any(|event| event.kind == EventKind::Revoked) {
            return Ok(());
        }
        // Polling without a pause would slow down the broker that is measured.
        thread::sleep(Duration::from_millis(10));
    }
    bail!("`{grant}` does not end")
}

fn at(timeline: &Timeline, kind: EventKind) -> Result<Duration> {
    let event = timeline.events.iter().find(|event| event.kind == kind);
    let at = event.with_context(|| format!("no {} in {timeline:?}", kind.label()))?.at;
    Ok(Duration::from_millis(u64::try_from(at.as_millis())?))
}

fn figure(report: &mut Report, claim: &str, limit: f64, millis: &Samples) {
    report.figure(&Figure {
        claim,
        ratio: millis.percentile(99) / limit,
        target: Target::AtMost(1.0),
        ours: format!("p50 {:.1} ms, p99 {:.1} ms", millis.median(), millis.percentile(99)),
        other: format!("limit {limit:.0} ms"),
        runs: millis.len(),
    });
}
