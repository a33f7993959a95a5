//! What does this machine need that cargo does not bring?

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use postgres_for_tests::Programs;

use crate::process::{on_path, program, root, run, text};

const OLDEST_NODE: u32 = 20;

/// A target that the client can be built for, as a static binary.
#[derive(Debug)]
pub(crate) enum StaticTarget {
    /// The one that is released.
    Musl(String),
    /// Static too, but bigger: what can be had where musl cannot.
    StaticGlibc { triple: String, why: String },
}

/// Node and npm, for the OIDC provider that the tests run against.
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

/// Installs what `package-lock.json` pins, unless that is what is there.
pub(crate) fn npm_ci(folder: &str) -> Result<()> {
    let folder = root().join(folder);
    let modified = |file: &str| folder.join(file).metadata().and_then(|meta| meta.modified());
    let installed = modified("node_modules/.package-lock.json");
    if installed.is_ok_and(|installed| modified("package-lock.json").is_ok_and(|pinned| installed >= pinned))
    {
        println!("  installed already");
        return Ok(());
    }
    // `--loglevel=error`: one dependency names newer Node versions only, and works on the oldest that we take.
    run(program("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder))
}

/// Tests the Jenkins library by itself, with what Maven fetches for it; later tests find that there, and do not ask.
pub(crate) fn jenkins_library() -> Result<()> {
    debian_package("javac", "default-jdk-headless")?;
    debian_package("mvn", "maven")?;
    run(program("mvn").args(["--quiet", "--batch-mode", "--file", "jenkins-library/pom.xml", "verify"]))
}

/// The musl target for this processor, with the compiler it needs; static glibc where that cannot be had.
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

/// Installs a package when the program from it is missing and we may. The program may also be a path.
pub(crate) fn debian_package(wanted: &str, package: &str) -> Result<()> {
    package_unless(
        || on_path(wanted).is_some() || std::path::Path::new(wanted).is_file(),
        &format!("`{wanted}`"),
        package,
    )
}

/// The programs of a PostgreSQL server; each test that needs one makes and runs its own.
pub(crate) fn postgres() -> Result<()> {
    package_unless(|| Programs::find().is_ok(), "PostgreSQL 14 or newer", "postgresql")
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
