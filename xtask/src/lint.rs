//! `cargo xtask lint`: formatting, links, words, clippy, and the rules for dependencies.

use anyhow::Result;

use crate::links;
use crate::process::{cargo, program, run};
use crate::steps::Steps;
use crate::tools::{CARGO_DENY, CARGO_MACHETE};
use crate::words;

/// Runs `cargo xtask lint`.
pub(crate) fn run_command() -> Result<()> {
    let mut steps = Steps::of("lint");
    steps.step("formatting", || {
        run(cargo().args(["fmt", "--all", "--", "--check"]))?;
        run(cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--", "--check"]))
    })?;
    steps.step("links, anchors and paths in the documents", links::check)?;
    steps.step("words of comments and documents", words::check)?;
    steps.step("subjects of commits", words::check_subjects)?;
    steps.step("clippy", || {
        run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))
    })?;
    let cargo_deny = steps.step("cargo-deny is there", || CARGO_DENY.ready())?;
    steps.step("dependencies: one home each, licenses, sources", || {
        // Without the advisories, which are fetched from the network; the workflow on GitHub checks them.
        run(program(cargo_deny).args(["--locked", "check", "bans", "licenses", "sources"]))
    })?;
    let cargo_machete = steps.step("cargo-machete is there", || CARGO_MACHETE.ready())?;
    steps.step("dependencies that nothing uses", || {
        run(program(cargo_machete).args(["--skip-target-dir", "."]))
    })?;
    steps.finish();
    Ok(())
}
