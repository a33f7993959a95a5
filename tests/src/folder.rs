//! A temporary folder that kills every process in it when it is dropped.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A temporary folder. Dropping it kills every process whose working directory is in it, orphans included, and
/// removes it.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// Creates an empty folder.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Repeats: a process may be about to start another.
        for _ in 0..10 {
            let processes = processes_in(self.path());
            if processes.is_empty() {
                return;
            }
            let _ = Command::new("kill")
                .args(["-s", "KILL", "--"])
                .args(processes)
                .stderr(Stdio::null())
                .status();
        }
    }
}

fn processes_in(folder: &Path) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_number =
        |name: &OsString| name.to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    // A process that has ended has no working directory, even before its parent waits for it.
    let runs_there = |name: &OsString| {
        fs::read_link(Path::new("/proc").join(name).join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    };
    entries.filter_map(|entry| Some(entry.ok()?.file_name())).filter(is_number).filter(runs_there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::is_alive;
    use crate::waiting::eventually;

    #[test]
    fn processes_of_a_failed_test_end_with_its_folder() {
        let mut children = Vec::new();
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let folder = Folder::new();
            fs::create_dir(folder.path().join("below")).unwrap();
            let script = "setsid sh -c 'cd below; echo $$ > ../pid; sleep 600; exit 3' & wait";
            children
                .push(Command::new("sh").args(["-c", script]).current_dir(folder.path()).spawn().unwrap());
            let pid = eventually("a pid", || {
                fs::read_to_string(folder.path().join("pid")).ok().filter(|text| text.ends_with('\n'))
            });
            std::panic::resume_unwind(Box::new(pid.trim().parse::<i32>().unwrap()));
        }));
        let orphan: i32 = *failed.unwrap_err().downcast().unwrap();
        eventually("the orphan's end", || (!is_alive(orphan)).then_some(()));
        for mut child in children {
            child.wait().unwrap();
        }
    }
}
