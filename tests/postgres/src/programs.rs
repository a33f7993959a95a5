//! Finds PostgreSQL's programs and the user that runs them.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where PostgreSQL's programs are, and the user that runs them.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    /// User and group to run as, if this process is root.
    instead_of_root: Option<(u32, u32)>,
}

/// This machine has no PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing;

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "PostgreSQL is missing: `cargo xtask test` installs it where it may, or install 14 or newer",
        )
    }
}

impl Programs {
    /// Looks where Debian and Homebrew install them, newest first, and then on the PATH.
    pub fn find() -> Result<Self, Missing> {
        let mut folders = Vec::new();
        for (parent, beginning) in [
            ("/usr/lib/postgresql", ""),
            ("/opt/homebrew/opt", "postgresql"),
            ("/usr/local/opt", "postgresql"),
        ] {
            let there = fs::read_dir(parent).into_iter().flatten().flatten();
            let named = there.filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
            folders.extend(named.map(|entry| entry.path().join("bin")));
        }
        folders.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
        folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        let has_all = |folder: &PathBuf| {
            ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file())
        };
        let folder = folders.into_iter().find(has_all).ok_or(Missing)?;
        Ok(Self { folder, instead_of_root: instead_of_root() })
    }

    /// A command for one of the programs, as the server's user and with a clean environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program = self.folder.join(program);
        let Some((user, group)) = self.instead_of_root else { return clean(program) };
        let mut command = clean("setpriv");
        command.arg("--reuid").arg(user.to_string()).arg("--regid").arg(group.to_string());
        command.arg("--clear-groups").arg(program);
        command
    }

    /// Makes the server's user the owner.
    pub(crate) fn hand_over(&self, path: &Path) {
        if let Some((user, group)) = self.instead_of_root {
            chown(path, Some(user), Some(group)).expect("root can change the owner");
        }
    }
}

/// A command that inherits nothing of the environment but `PATH`.
pub(crate) fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).current_dir("/");
    command
}

fn version(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    name.trim_start_matches("postgresql@").parse().unwrap_or(0)
}

/// PostgreSQL's own user where Debian has created one, and otherwise the user that owns nothing.
fn instead_of_root() -> Option<(u32, u32)> {
    let we_are_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !we_are_root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let mut fields = users.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).or(Some((65534, 65534)))
}
