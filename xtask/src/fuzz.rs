//! `cargo xtask fuzz`: fuzzes the parsers and the redactor.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process::{program, root, run};
use crate::steps::Steps;
use crate::tools::CARGO_FUZZ;

/// Options of the fuzzer.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Targets to fuzz; all by default
    targets: Vec<String>,
}

/// Runs `cargo xtask fuzz`.
pub(crate) fn run_command(arguments: &Arguments) -> Result<()> {
    let known = targets()?;
    if let Some(unknown) = arguments.targets.iter().find(|target| !known.contains(target)) {
        bail!("`{unknown}` is no fuzz target: expected one of `{}`", known.join("`, `"));
    }
    let chosen = if arguments.targets.is_empty() { known } else { arguments.targets.clone() };

    let mut steps = Steps::of("fuzz");
    let cargo_fuzz = steps.step("cargo-fuzz is there", || CARGO_FUZZ.ready())?;
    steps.step("build", || run(&mut cargo_fuzz_command(&cargo_fuzz, "build")))?;
    for target in chosen {
        steps.step(&format!("fuzz {target}"), || one(&cargo_fuzz, &target, arguments.seconds))?;
    }
    steps.finish();
    Ok(())
}

fn one(cargo_fuzz: &Path, target: &str, seconds: u32) -> Result<()> {
    let corpus = root().join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&corpus).with_context(|| format!("cannot create `{}`", corpus.display()))?;
    let mut command = cargo_fuzz_command(cargo_fuzz, "run");
    command.arg(target).arg(corpus).arg(root().join("fuzz/seeds").join(target));
    command.args(["--", "-timeout=5", "-print_final_stats=1", "-verbosity=0"]);
    run(command.arg(format!("-max_total_time={seconds}")))
}

/// Fuzzes without the address sanitizer: the code forbids `unsafe`, so the targets search for panics, hangs and failed
/// assertions, and a stable compiler is enough.
fn cargo_fuzz_command(cargo_fuzz: &Path, action: &str) -> std::process::Command {
    let mut command = program(cargo_fuzz);
    command.args([action, "--sanitizer", "none"]);
    command
}

fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let path = entry?.path();
        if let (Some(name), Some("rs")) = (path.file_stem(), path.extension().and_then(|it| it.to_str())) {
            found.push(name.to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}
