//! `cargo xtask wrappers`: writes the CI wrappers for publication in repositories of their own.
//!
//! A wrapper in this repository pins no client. The copy for a release pins its version and the checksums of its programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cargo, program, root, text};

/// The folders of the wrappers.
const FOLDERS: [&str; 5] = ["action", "gitlab", "jenkins-library", "bitbucket-pipe", "circleci-orb"];

/// The lines for version and checksums, in shell, in JavaScript and in PowerShell.
const VERSION: [&str; 3] = ["pinned_version=''", "const pinnedVersion = ''", "$pinnedVersion = ''"];
const SUMS: [&str; 3] = ["pinned_sums=''", "const pinnedSums = ''", "$pinnedSums = ''"];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// `SHA256SUMS` of the release
    #[arg(long, value_name = "FILE")]
    sums: PathBuf,
    /// The output folder; must not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Runs `cargo xtask wrappers`.
pub(crate) fn run_command(arguments: &Arguments) -> Result<()> {
    let sums = fs::read_to_string(&arguments.sums)
        .with_context(|| format!("cannot read `{}`", arguments.sums.display()))?;
    let pins = Pins { version: version()?, sums: clients(&sums)? };
    fs::create_dir(&arguments.out)
        .with_context(|| format!("cannot make `{}`, which must not be there yet", arguments.out.display()))?;
    for folder in FOLDERS {
        let stamped = copy(folder, &arguments.out.join(folder), &pins)?;
        ensure!(stamped > 0, "`{folder}` has no place for the version and the checksums");
        println!("  {folder} · {} pinned in {stamped} files", pins.version);
    }
    Ok(())
}

struct Pins {
    version: String,
    /// One `<sha256>  <file>` per line.
    sums: String,
}

fn version() -> Result<String> {
    let metadata = text(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata.get("packages").and_then(|packages| packages.as_array());
    let client = packages.into_iter().flatten().find(|package| package["name"] == "cloudanix-jit");
    let version = client.and_then(|package| package["version"].as_str());
    Ok(version.context("the workspace has no `cloudanix-jit`")?.to_owned())
}

/// The lines of the client's programs.
fn clients(sums: &str) -> Result<String> {
    let mut lines = Vec::new();
    for line in sums.lines() {
        let Some((sum, file)) = line.split_once("  ") else {
            bail!("expected `<sha256>  <file>`, found `{line}`");
        };
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        ensure!(is_sum && file.bytes().all(plain), "expected `<sha256>  <file>`, found `{line}`");
        let is_client = file.strip_prefix("cloudanix-jit-").is_some_and(|rest| !rest.starts_with("broker-"));
        if is_client && !file.ends_with(".json") {
            lines.push(line);
        }
    }
    ensure!(!lines.is_empty(), "there is no `cloudanix-jit-…` among the checksums");
    Ok(lines.join("\n"))
}

/// Copies the committed files of a folder; returns the number of files with pins.
fn copy(folder: &str, to: &Path, pins: &Pins) -> Result<usize> {
    let files = text(program("git").args(["ls-files", "-z", "--", folder]))?;
    let mut stamped = 0;
    for file in files.split_terminator('\0') {
        let relative = Path::new(file).strip_prefix(folder)?;
        let (from, to) = (root().join(file), to.join(relative));
        fs::create_dir_all(to.parent().context("a folder")?)?;
        // Keeps permissions, so that scripts stay executable.
        fs::copy(&from, &to).with_context(|| format!("cannot copy `{file}`"))?;
        let Ok(source) = fs::read_to_string(&from) else { continue };
        let text = pins.written_into(&source);
        if text != source {
            fs::write(&to, text)?;
            stamped += 1;
        }
    }
    Ok(stamped)
}

impl Pins {
    fn written_into(&self, source: &str) -> String {
        let mut text = String::with_capacity(source.len());
        for line in source.split_inclusive('\n') {
            let indent = line.len() - line.trim_start().len();
            let (before, content) = line.split_at(indent);
            // JavaScript may end it with a semicolon.
            let bare = content.trim_end().trim_end_matches(';');
            let value = if VERSION.contains(&bare) {
                &self.version
            } else if SUMS.contains(&bare) {
                &self.sums
            } else {
                text.push_str(line);
                continue;
            };
            let (name, rest) = (bare.trim_end_matches("''"), content.trim_end().strip_prefix(bare));
            let in_javascript = name.starts_with("const");
            // Text of several lines: in quotes in the shells, in backticks in JavaScript. In YAML the lines need the indent
            // of the first.
            let value = value.replace('\n', &format!("\n{before}"));
            let quote = if in_javascript { '`' } else { '\'' };
            text.push_str(&format!("{before}{name}{quote}{value}{quote}{}\n", rest.unwrap_or_default()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn pins() -> Pins {
        Pins { version: "1.2.3".into(), sums: "aa  one\nbb  two".into() }
    }

    #[test]
    fn pins_keep_the_language_and_the_indent_of_their_line() {
        let shell = "a\npinned_version=''\n  pinned_sums=''\nb\n";
        let written = "a\npinned_version='1.2.3'\n  pinned_sums='aa  one\n  bb  two'\nb\n";
        assert_eq!(pins().written_into(shell), written);
        let script = "const pinnedVersion = '';\nconst pinnedSums = '';\n";
        let written = "const pinnedVersion = `1.2.3`;\nconst pinnedSums = `aa  one\nbb  two`;\n";
        assert_eq!(pins().written_into(script), written);
    }

    #[test]
    fn other_lines_are_unchanged() {
        let other = "echo \"pinned_version=''\"\nversion=''\nno line end";
        assert_eq!(pins().written_into(other), other);
    }

    #[test]
    fn only_valid_checksums_of_the_client_are_pinned() {
        let sums = format!(
            "{SUM}  cloudanix-jit-x86_64-unknown-linux-musl\n{SUM}  cloudanix-jit-broker-x86_64-unknown-linux-musl\n\
             {SUM}  cloudanix-jit.cdx.json\n"
        );
        assert_eq!(clients(&sums).unwrap(), format!("{SUM}  cloudanix-jit-x86_64-unknown-linux-musl"));
        for wrong in ["", "nonsense", "aa  cloudanix-jit-x", &format!("{SUM}  cloudanix-jit-$(id)")] {
            assert!(clients(wrong).is_err(), "{wrong}");
        }
    }
}
