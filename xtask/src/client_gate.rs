//! Checks the size of the client, that it is static, and that slow dependencies are absent.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::elf;
use crate::machine::StaticTarget;
use crate::process::{cargo, output, program, root, run, text};

const LARGEST: usize = 3_400_000;
const LARGEST_GZIPPED: usize = 1_750_000;

/// aws-lc costs 30 ms at the start of every process; a system TLS library prevents a static binary.
const UNWANTED: [&str; 4] = ["aws-lc-sys", "aws-lc-rs", "openssl-sys", "native-tls"];

/// Builds the client as released, and checks it.
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
            // No limit: most of the size is glibc's.
            is_static(&binary)
        }
    }
}

/// Builds the client with its profile; returns the path of the program.
pub(crate) fn build(mut cargo: Command, triple: &str) -> Result<PathBuf> {
    run(cargo.args(["build", "--locked", "-p", "cloudanix-jit", "--profile", "client", "--target", triple]))?;
    let file = if triple.contains("windows") { "cloudanix-jit.exe" } else { "cloudanix-jit" };
    Ok(target_folder()?.join(triple).join("client").join(file))
}

/// Checks that no banned dependency is in the client's tree.
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

/// Checks that the client needs no dynamic loader.
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

/// Prints and returns the size in bytes, plain and gzipped.
pub(crate) fn sizes(binary: &Path) -> Result<(usize, usize)> {
    let plain = usize::try_from(binary.metadata()?.len())?;
    let gzipped = output(program("gzip").args(["-9", "-c"]).arg(binary))?.len();
    println!("  {plain} bytes, {gzipped} gzipped");
    Ok((plain, gzipped))
}

/// The target folder of cargo.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = text(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(folder.map_or_else(|| root().join("target"), PathBuf::from))
}
