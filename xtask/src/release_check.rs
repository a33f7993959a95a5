//! `cargo xtask release-check`: builds and starts the client for other platforms.
//!
//! `.github/workflows/release.yml` makes the release. This checks what is possible on one machine: Windows with mingw-w64
//! and Wine, arm64 with qemu.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::client_gate;
use crate::machine::{debian_package, rust_target};
use crate::process::{cargo, program, root, run, text};
use crate::steps::Steps;

const WINDOWS: &str = "x86_64-pc-windows-gnu";
const ARM64: &str = "aarch64-unknown-linux-musl";
/// Debian's `wine64` installs its program outside the `PATH`.
const WINE: &str = "/usr/lib/wine/wine64";

/// Runs `cargo xtask release-check`.
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
        // A compiler for glibc is enough: the C code calls no libc function, and Rust links its own musl.
        cargo.env("CC_aarch64_unknown_linux_musl", "aarch64-linux-gnu-gcc");
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
        let binary = client_gate::build(cargo, ARM64)?;
        client_gate::is_lean(ARM64)?;
        client_gate::is_static(&binary)?;
        // The limits are for x86_64; here the size is only printed.
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
    // A DLL that the Wine of Debian stable lacks, see the source.
    let mut compile = program("x86_64-w64-mingw32-gcc");
    compile.args(["-O2", "-shared", "-o"]).arg(folder.join("bcryptprimitives.dll"));
    run(compile.args(["xtask/src/wine_bcryptprimitives.c", "-ladvapi32"]))?;
    starts(&copy, || {
        let mut wine = program(WINE);
        wine.env("WINEPREFIX", &prefix).env("WINEDEBUG", "-all").env_remove("DISPLAY");
        wine
    })
}

/// Runs the client's `--version` and `--help`.
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
