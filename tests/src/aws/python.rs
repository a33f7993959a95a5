//! Finds the Python environment that `cargo xtask test` installs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program from the environment at the pinned versions: `ministack`, `aws`, `moto_server`, `python`.
pub fn program(name: &str) -> Command {
    let program = tools().join("aws-python/bin").join(name);
    if !program.is_file() {
        panic!("`{}` is missing: run `cargo xtask test`, which installs it", program.display());
    }
    scrubbed(Command::new(program))
}

/// A file that `cargo xtask test` installed under `.tools/`.
pub(super) fn tool(name: &str) -> PathBuf {
    let tool = tools().join(name);
    if !tool.exists() {
        panic!("`{}` is missing: run `cargo xtask test`, which puts it there", tool.display());
    }
    tool
}

/// A command that inherits only `PATH`: no credentials, profile or region of the developer.
pub(super) fn scrubbed(mut command: Command) -> Command {
    command.env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    // Text is UTF-8, also on a machine without a locale.
    command.env("LC_ALL", "C.UTF-8");
    command
}

fn tools() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).join(".tools")
}
