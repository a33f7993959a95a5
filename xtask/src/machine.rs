//! Installs the requirements of the tests that cargo does not install.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use postgres_for_tests::Programs;

use crate::process::{on_path, program, root, run, text};

const OLDEST_NODE: u32 = 20;

/// A target for a static client.
#[derive(Debug)]
pub(crate) enum StaticTarget {
    /// musl, as released.
    Musl(String),
    /// Static glibc: larger, for machines without musl.
    StaticGlibc { triple: String, why: String },
}

/// Checks Node and npm, for the OIDC provider of the tests.
pub(crate) fn node() -> Result<()> {
    if on_path("npm").is_none() || on_path("node").is_none() {
        bail!("node {OLDEST_NODE} or newer and npm are needed by the tests: see https://nodejs.org");
    }
    let version = text(program("node").arg("--version"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < OLDEST_NODE) {
        bail!("node {OLDEST_NODE} or newer is needed by the tests, found {version}");
    }
    println!("  node {version}");
    Ok(())
}

/// Installs the packages of `package-lock.json`, unless they are installed.
pub(crate) fn npm_ci(folder: &str) -> Result<()> {
    let folder = root().join(folder);
    let modified = |file: &str| folder.join(file).metadata().and_then(|meta| meta.modified());
    let installed = modified("node_modules/.package-lock.json");
    if installed.is_ok_and(|installed| modified("package-lock.json").is_ok_and(|pinned| installed >= pinned))
    {
        println!("  installed already");
        return Ok(());
    }
    // `--loglevel=error`: one dependency declares newer Node versions only, and works on the oldest supported one.
    run(program("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder))
}

/// Runs the unit tests of the Jenkins library, for which Maven fetches dependencies that later tests reuse.
pub(crate) fn jenkins_library() -> Result<()> {
    debian_package("javac", "default-jdk-headless")?;
    debian_package("mvn", "maven")?;
    run(program("mvn").args(["--quiet", "--batch-mode", "--file", "jenkins-library/pom.xml", "verify"]))
}

/// Sets up the musl target for this processor, or static glibc where musl is not available.
pub(crate) fn static_target() -> StaticTarget {
    let arch = std::env::consts::ARCH;
    let musl = format!("{arch}-unknown-linux-musl");
    let ready = rust_target(&musl).and_then(|()| debian_package("musl-gcc", "musl-tools"));
    match ready {
        Ok(()) => StaticTarget::Musl(musl),
        Err(error) => StaticTarget::StaticGlibc {
            triple: format!("{arch}-unknown-linux-gnu"),
            why: format!("{error:#}"),
        },
    }
}

/// Adds a target to the toolchain in use.
pub(crate) fn rust_target(triple: &str) -> Result<()> {
    let installed = text(program("rustup").args(["target", "list", "--installed"]))
        .context("the target cannot be added without rustup")?;
    if installed.lines().any(|line| line == triple) {
        return Ok(());
    }
    run(program("rustup").args(["target", "add", triple]))
}

/// Installs a package if its program, a name or a path, is missing and the user may install packages.
pub(crate) fn debian_package(wanted: &str, package: &str) -> Result<()> {
    package_unless(
        || on_path(wanted).is_some() || std::path::Path::new(wanted).is_file(),
        &format!("`{wanted}`"),
        package,
    )
}

/// Checks the programs of a PostgreSQL server. Each test starts a server of its own.
pub(crate) fn postgres() -> Result<()> {
    package_unless(|| Programs::find().is_ok(), "PostgreSQL 14 or newer", "postgresql")
}

/// Installs Chromium without a display, unless a browser of its kind is there.
pub(crate) fn chromium() -> Result<()> {
    let names = ["chromium-headless-shell", "chromium", "google-chrome"];
    let there = || names.iter().any(|name| on_path(name).is_some());
    package_unless(there, "Chromium", "chromium-headless-shell")
}

fn package_unless(there: impl Fn() -> bool, wanted: &str, package: &str) -> Result<()> {
    if there() {
        return Ok(());
    }
    let root_user = text(program("id").arg("-u")).is_ok_and(|uid| uid == "0");
    if !root_user || on_path("apt-get").is_none() {
        bail!("{wanted} is missing: install the package `{package}`");
    }
    println!("  installing {package}");
    if !quiet_apt(&["install", package]) {
        quiet_apt(&["update"]);
        quiet_apt(&["install", package]);
    }
    if !there() {
        bail!("{wanted} is missing, and `apt-get install {package}` did not bring it");
    }
    Ok(())
}

fn quiet_apt(arguments: &[&str]) -> bool {
    let mut command: Command = program("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-y", "--no-install-recommends"]);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
