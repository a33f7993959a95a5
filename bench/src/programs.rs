//! Builds the client and the broker to measure, with the release profiles.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const MUSL: &str = "x86_64-unknown-linux-musl";

/// Paths of the client and the broker.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) client: PathBuf,
    pub(crate) broker: PathBuf,
}

impl Programs {
    /// Uses these programs.
    pub(crate) fn given(client: PathBuf, broker: PathBuf) -> Result<Self> {
        let found =
            |path: PathBuf| path.canonicalize().with_context(|| format!("no program `{}`", path.display()));
        Ok(Self { client: found(client)?, broker: found(broker)? })
    }

    /// Builds both with the release profiles; static, if the target for that is installed.
    pub(crate) fn build() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's folder")?;
        let target = target_folder(root)?;
        let client = ["build", "-p", "cloudanix-jit", "--profile", "client"];
        let client = if is_installed(MUSL) {
            cargo(root, &[&client[..], &["--target", MUSL]].concat())?;
            target.join(MUSL).join("client")
        } else {
            cargo(root, &client)?;
            target.join("client")
        };
        cargo(root, &["build", "-p", "cloudanix-jit-broker", "--release"])?;
        Self::given(client.join("cloudanix-jit"), target.join("release/cloudanix-jit-broker"))
    }
}

fn is_installed(triple: &str) -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", triple]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    let status =
        Command::new("cargo").args(arguments).current_dir(root).status().context("cannot start `cargo`")?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}

fn target_folder(root: &Path) -> Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start `cargo`")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    match metadata.get("target_directory").and_then(serde_json::Value::as_str) {
        Some(folder) => Ok(folder.into()),
        None => bail!("`cargo metadata` names no target folder"),
    }
}
