//! Installs cargo tools into `.tools/`, apart from the developer's installation.

use std::path::PathBuf;

use anyhow::Result;

use crate::process::{cargo, program, root, run, text};

/// A cargo subcommand at a pinned version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    /// Its cargo features, where the default ones are more than is needed.
    features: Option<&'static str>,
}

/// Checks bans, licenses and sources.
pub(crate) const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", features: None };
/// Finds unused dependencies.
pub(crate) const CARGO_MACHETE: Tool = Tool { name: "cargo-machete", version: "0.9.2", features: None };
/// Builds and runs fuzz targets.
pub(crate) const CARGO_FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2", features: None };

/// Renders the book. Without its server and its watcher, which are most of what it depends on.
pub(crate) const MDBOOK: Tool = Tool { name: "mdbook", version: "0.5.4", features: Some("search") };

impl Tool {
    /// The path in `.tools/bin`. Installs the tool first if it is missing.
    pub(crate) fn ready(self) -> Result<PathBuf> {
        let folder = root().join(".tools");
        let path = folder.join("bin").join(self.name);
        if path.is_file()
            && text(program(&path).arg("--version")).is_ok_and(|line| line.ends_with(self.version))
        {
            return Ok(path);
        }
        // Unoptimised: the tools run for seconds, and would compile for minutes.
        let build = root().join("target").join("tools");
        let mut install = cargo();
        install.args([
            "install",
            self.name,
            "--version",
            self.version,
            "--locked",
            "--force",
            "--debug",
            "--quiet",
        ]);
        if let Some(features) = self.features {
            install.args(["--no-default-features", "--features", features]);
        }
        install.args(["--config", "profile.dev.debug=false"]);
        install.arg("--root").arg(&folder).arg("--target-dir").arg(&build);
        run(&mut install)?;
        std::fs::remove_dir_all(build)?;
        Ok(path)
    }
}
