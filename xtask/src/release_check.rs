//! Does the client build, and start, where this machine is not?
//!
//! The release itself is made by `.github/workflows/release.yml`. What can be seen without it is seen here:
//! Windows through mingw-w64 and Wine, arm64 through qemu.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::client_gate;
use crate::machine::{debian_package, rust_target};
use crate::process::{cargo, program, root, text};
use crate::steps::Steps;

const WINDOWS: &str = "x86_64-pc-windows-gnu";
const ARM64: &str = "aarch64-unknown-linux-musl";
/// Debian's `wine64` puts its program beside the path.
const WINE: &str = "/usr/lib/wine/wine64";

/// `cargo xtask release-check`.
pub(crate) fn run_command() -> Result<()> {
    let mut steps = Steps::of("release-check");
    steps.step("what Windows needs", || {
        rust_target(WINDOWS)?;
        debian_package("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64")?;
        debian_package(WINE, "wine64")
    })?;
    steps.step("the client for Windows", || {
        let binary = client_gate::build(cargo(), WINDOWS)?;
        client_gate::is_lean(WINDOWS)?;
        let prefix = root().join("target/wine");
        std::fs::create_dir_all(&prefix)?;
        starts(&binary, || {
            let mut wine = program(WINE);
            wine.env("WINEPREFIX", &prefix).env("WINEDEBUG", "-all").env_remove("DISPLAY");
            wine
        })
    })?;
    steps.step("what arm64 needs", || {
        rust_target(ARM64)?;
        debian_package("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")?;
        debian_package("/usr/aarch64-linux-gnu/include/stdio.h", "libc6-dev-arm64-cross")?;
        debian_package("qemu-aarch64", "qemu-user")
    })?;
    steps.step("the client for arm64", || {
        let mut cargo = cargo();
        // The compiler is glibc's; the C in our tree calls nothing of its libc, and Rust links its own musl.
        cargo.env("CC_aarch64_unknown_linux_musl", "aarch64-linux-gnu-gcc");
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
        let binary = client_gate::build(cargo, ARM64)?;
        client_gate::is_lean(ARM64)?;
        client_gate::is_static(&binary)?;
        client_gate::is_small(&binary)?;
        starts(&binary, || program("qemu-aarch64"))
    })?;
    steps.finish();
    Ok(())
}

/// It says its version and its help.
fn starts(binary: &Path, emulator: impl Fn() -> Command) -> Result<()> {
    let version = text(emulator().arg(binary).arg("--version")).context("it does not start")?;
    if version != concat!("cloudanix-jit ", env!("CARGO_PKG_VERSION")) {
        bail!("expected `cloudanix-jit {}`, found `{version}`", env!("CARGO_PKG_VERSION"));
    }
    println!("  {version}");
    let help = text(emulator().arg(binary).args(["run", "--help"]))?;
    if !help.contains("--policy") {
        bail!("expected `--policy` in the help of `run`, found `{help}`");
    }
    Ok(())
}
