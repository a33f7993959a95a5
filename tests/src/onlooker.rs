//! A step that reads the environments of other processes of its user.
//!
//! Root's capabilities let it read every process. So where tests run as root, the whole step starts without those
//! capabilities, and sees what any other user sees.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

/// A command for the step's program; where tests run as root, without the capabilities to read other processes.
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

/// A line of shell that writes every environment that it can read, one variable per line, into this file.
pub fn look(into: &str) -> String {
    format!(
        "for look in /proc/[0-9]*/environ; do echo \"from $look\"; cat \"$look\" 2>/dev/null | tr '\\0' '\\n' || :; \
         done >{into}"
    )
}

/// The processes whose environments hold a secret, of those that could be read.
#[derive(Debug)]
pub struct Seen {
    /// Where a secret was, by its name: `auth token in /proc/7/environ: NAME`.
    pub finds: Vec<String>,
    /// The pids whose environment could be read.
    pub readable: Vec<i32>,
}

/// Searches for secrets in the output of [`look`].
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
