//! Does the client build, and start, where this machine is not?
//!
//! The release itself is made by `.github/workflows/release.yml`. What can be seen without it is seen here:
//! Windows through mingw-w64 and Wine, arm64 through qemu.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::client_gate;
use crate::machine::{debian_package, rust_target};
use crate::process::{cargo, program, root, run, text};
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
        starts_under_wine(&binary)
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
        // The figures that we promise are for x86_64; here they are only told.
        client_gate::sizes(&binary)?;
        starts(&binary, || program("qemu-aarch64"))
    })?;
    steps.finish();
    Ok(())
}

fn starts_under_wine(binary: &Path) -> Result<()> {
    let folder = root().join("target/wine");
    let prefix = folder.join("prefix");
    std::fs::create_dir_all(&prefix)?;
    let copy = folder.join("cloudanix-jit.exe");
    std::fs::copy(binary, &copy)?;
    // What the Wine of a stable Debian lacks, see there.
    let mut compile = program("x86_64-w64-mingw32-gcc");
    compile.args(["-O2", "-shared", "-o"]).arg(folder.join("bcryptprimitives.dll"));
    run(compile.args(["xtask/src/wine_bcryptprimitives.c", "-ladvapi32"]))?;
    starts(&copy, || {
        let mut wine = program(WINE);
        wine.env("WINEPREFIX", &prefix).env("WINEDEBUG", "-all").env_remove("DISPLAY");
        wine
    })
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
