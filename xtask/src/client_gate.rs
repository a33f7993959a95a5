//! Is the client still small, static, and free of what makes it slow?

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::elf;
use crate::machine::StaticTarget;
use crate::process::{cargo, output, program, root, run, text};

const LARGEST: usize = 3_000_000;
const LARGEST_GZIPPED: usize = 1_500_000;

/// aws-lc's start-up costs 30 ms in every short process, and a system TLS library ends the static binary.
const UNWANTED: [&str; 4] = ["aws-lc-sys", "aws-lc-rs", "openssl-sys", "native-tls"];

/// Builds the client as it is released and holds it against the figures.
pub(crate) fn check(target: &StaticTarget) -> Result<()> {
    match target {
        StaticTarget::Musl(triple) => {
            let binary = build(cargo(), triple)?;
            is_lean(triple)?;
            is_static(&binary)?;
            is_small(&binary)
        }
        StaticTarget::StaticGlibc { triple, .. } => {
            let mut cargo = cargo();
            cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
            let binary = build(cargo, triple)?;
            is_lean(triple)?;
            // Its size is glibc's, not ours: there is nothing to hold it against.
            is_static(&binary)
        }
    }
}

/// Builds the client with its own profile. Returns the program's path.
pub(crate) fn build(mut cargo: Command, triple: &str) -> Result<PathBuf> {
    run(cargo.args(["build", "--locked", "-p", "cloudanix-jit", "--profile", "client", "--target", triple]))?;
    let file = if triple.contains("windows") { "cloudanix-jit.exe" } else { "cloudanix-jit" };
    Ok(target_folder()?.join(triple).join("client").join(file))
}

/// No dependency that we decided against is in the client's tree.
pub(crate) fn is_lean(triple: &str) -> Result<()> {
    let mut tree = cargo();
    tree.args([
        "tree",
        "--locked",
        "-p",
        "cloudanix-jit",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--target",
    ]);
    let tree = text(tree.arg(triple))?;
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or(line);
        if UNWANTED.contains(&name) {
            bail!("`{name}` has come into the client's tree: see `cargo tree -p cloudanix-jit -i {name}`");
        }
    }
    Ok(())
}

/// It asks for no dynamic loader.
pub(crate) fn is_static(binary: &Path) -> Result<()> {
    let file = std::fs::read(binary).with_context(|| format!("cannot read `{}`", binary.display()))?;
    if !elf::is_static(&file)? {
        bail!("`{}` is not static: it names a dynamic loader", binary.display());
    }
    println!("  static");
    Ok(())
}

fn is_small(binary: &Path) -> Result<()> {
    let (plain, gzipped) = sizes(binary)?;
    if plain > LARGEST || gzipped > LARGEST_GZIPPED {
        bail!(
            "the client is too big: expected at most {LARGEST} bytes and {LARGEST_GZIPPED} gzipped, found {plain} \
             and {gzipped}"
        );
    }
    Ok(())
}

/// How many bytes it has, plain and gzipped; printed too.
pub(crate) fn sizes(binary: &Path) -> Result<(usize, usize)> {
    let plain = usize::try_from(binary.metadata()?.len())?;
    let gzipped = output(program("gzip").args(["-9", "-c"]).arg(binary))?.len();
    println!("  {plain} bytes, {gzipped} gzipped");
    Ok((plain, gzipped))
}

/// Where cargo builds.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = text(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(folder.map_or_else(|| root().join("target"), PathBuf::from))
}
