//! Is the code in the shape that we agreed on?

use anyhow::Result;

use crate::process::{cargo, program, run};
use crate::steps::Steps;
use crate::tools::CARGO_DENY;

/// `cargo xtask lint`.
pub(crate) fn run_command() -> Result<()> {
    let mut steps = Steps::of("lint");
    steps.step("formatting", || {
        run(cargo().args(["fmt", "--all", "--", "--check"]))?;
        run(cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--", "--check"]))
    })?;
    steps.step("clippy", || {
        run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))
    })?;
    let cargo_deny = steps.step("cargo-deny is there", || CARGO_DENY.ready())?;
    steps.step("dependencies: one home each, licenses, sources", || {
        // Not the advisories: they are fetched from the network, and the workflow on GitHub checks them.
        run(program(cargo_deny).args(["--locked", "check", "bans", "licenses", "sources"]))
    })?;
    steps.finish();
    Ok(())
}
