//! Measures the throughput of a step's output, untouched and redacted.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::Effort;
use crate::figures::{Figure, Report, Target, interleaved};
use crate::fixture::{Fixture, POLICY};

const FILE: usize = 64 * 1024 * 1024;

pub(super) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    // Repeats a small file, so that the disk is not measured.
    let (file, times) = (fixture.folder.path().join("log.txt"), effort.pick(16, 1));
    fs::write(&file, log(FILE))?;
    let file_name = file.display().to_string();
    let mut cat = vec!["cat"];
    cat.extend(std::iter::repeat_n(file_name.as_str(), times));
    let expected = FILE * times;
    let alone =
        || throughput(Command::new("cat").args(cat.get(1..).unwrap_or_default()).env_clear(), expected);
    let through_cat = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat \"$@\" | cat", "sh"]).args(cat.get(1..).unwrap_or_default());
        throughput(&mut shell, expected)
    };
    let with_us = |redact: &str| {
        let run = ["run", "--policy", POLICY, "--ttl", "15m", "--redact", redact, "--"];
        throughput(&mut fixture.client(&[&run, cat.as_slice()].concat()), expected)
    };
    let runs = effort.pick(11, 1);
    let untouched = interleaved(runs, || with_us("never"), alone)?;
    let redacted = interleaved(runs, || with_us("always"), alone)?;
    let filtered = interleaved(runs, || with_us("always"), through_cat)?;
    for (claim, target, pairs, other) in [
        (
            "1 GB of output through a pipe, untouched, against no wrapper",
            Target::AtLeast(0.98),
            untouched,
            "cat",
        ),
        (
            "1 GB of output through a pipe, redacted, against no wrapper",
            Target::AtLeast(0.85),
            redacted,
            "cat",
        ),
        ("the same against the least that a filter can be", Target::AtLeast(0.85), filtered, "cat | cat"),
    ] {
        report.figure(&Figure {
            claim,
            ratio: pairs.ratio(),
            target,
            ours: format!("{:.2} GB/s", pairs.ours.median()),
            other: format!("{other} {:.2} GB/s", pairs.other.median()),
            runs,
        });
    }
    remove(&file)
}

/// GB per second, from the first byte to the last.
fn throughput(command: &mut Command, expected: usize) -> Result<f64> {
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut buffer = vec![0; 64 * 1024];
    let (mut total, mut first, mut last) = (0, None, Duration::ZERO);
    if let Some(mut output) = process.stdout.take() {
        loop {
            let read = output.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            total += read;
            last = first.get_or_insert_with(Instant::now).elapsed();
        }
    }
    ensure!(process.wait()?.success() && total == expected, "expected {expected} bytes, found {total}");
    let total = total as f64;
    Ok(total / 1e9 / last.as_secs_f64())
}

/// Sample of a build log.
fn log(bytes: usize) -> Vec<u8> {
    let mut log = Vec::with_capacity(bytes + 200);
    let mut state = 1_u64;
    while log.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let line = format!(
            "2026-06-08T14:00:14.250Z INFO  step[{}] uploaded layer sha256:{state:016x}{:016x} to registry.example.com/my-app:main ({} of 204800 bytes, 12.4 MB/s)\n",
            log.len() % 97,
            state.rotate_left(17),
            state % 204_800,
        );
        log.extend_from_slice(line.as_bytes());
    }
    log.truncate(bytes);
    log
}

fn remove(file: &Path) -> Result<()> {
    Ok(fs::remove_file(file)?)
}
