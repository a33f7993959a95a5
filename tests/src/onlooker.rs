//! What does a step see that looks into the other processes of its user?
//!
//! Root sees everything by its capabilities. So where tests run as root, the whole step is started without those that
//! let it, and looks as any other user would.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

/// A program of a step that will look: itself, or started without these capabilities where tests run as root.
pub fn through_launcher(program: impl AsRef<OsStr>) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let without = "-sys_ptrace,-sys_admin,-perfmon";
    command.arg(format!("--bounding-set={without}")).arg(format!("--inh-caps={without}")).arg(program);
    command
}

/// A line of shell that writes every environment that it can read, one variable a line, into this file.
pub fn look(into: &str) -> String {
    format!(
        "for look in /proc/[0-9]*/environ; do echo \"from $look\"; cat \"$look\" 2>/dev/null | tr '\\0' '\\n' || :; \
         done >{into}"
    )
}

/// The processes that showed this, of those that could be read at all.
#[derive(Debug)]
pub struct Seen {
    /// Where a secret was, by its name: `auth token in /proc/7/environ: NAME`.
    pub finds: Vec<String>,
    /// The pids whose environment could be read.
    pub readable: Vec<i32>,
}

/// Looks for secrets in what [`look`] has written.
pub fn seen(file: &Path, secrets: &[(&str, &str)]) -> std::io::Result<Seen> {
    let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
    let mut seen = Seen { finds: Vec::new(), readable: Vec::new() };
    let mut from = "";
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("from ") {
            from = path;
            continue;
        }
        let pid = from.trim_start_matches("/proc/").trim_end_matches("/environ").parse().unwrap_or_default();
        if seen.readable.last() != Some(&pid) {
            seen.readable.push(pid);
        }
        let variable = line.split('=').next().unwrap_or_default();
        for (name, secret) in secrets {
            if line.contains(secret) {
                seen.finds.push(format!("{name} in {from}: {variable}"));
            }
        }
    }
    Ok(seen)
}
