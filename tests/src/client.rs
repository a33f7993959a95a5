//! What does our real client do, in an environment of its own?

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::folder::Folder;
use crate::programs;
use crate::waiting::eventually;

/// The client, about to be started in an empty environment and a folder of its own.
pub struct Client {
    command: Command,
    folder: Folder,
}

/// The client at work.
pub struct Running {
    process: Child,
    folder: Folder,
}

/// The client when it has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All that it and its step wrote for programs.
    pub stdout: String,
    /// All that it and its step wrote for people.
    pub stderr: String,
    /// Its folder, for temporary files too.
    pub folder: Folder,
}

impl Client {
    /// With these arguments.
    pub fn new(arguments: &[&str]) -> Self {
        let folder = Folder::new();
        // A session of its own, so that no signal and no terminal of the test reaches it.
        // Nor what the test's own parent ignores, such as Ctrl-C in a background job.
        let mut command = Command::new("env");
        command.args(["--default-signal", "setsid"]).arg(programs::client()).args(arguments).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("TMPDIR", folder.path()).current_dir(folder.path());
        command.stdin(Stdio::null());
        // Files, so that a process that outlives the client keeps nobody waiting.
        command.stdout(File::create(folder.path().join("stdout")).unwrap());
        command.stderr(File::create(folder.path().join("stderr")).unwrap());
        Self { command, folder }
    }

    /// With this in its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without this in its environment.
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Writes a file into its folder.
    pub fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    /// Starts it.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let process = self.command.spawn().expect("the client");
        Running { process, folder: self.folder }
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.start().finish()
    }
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        kill(self.pid(), name);
    }

    /// What its step has written into a file, once that is a whole line.
    #[track_caller]
    pub fn line_in(&mut self, file: &str) -> String {
        let path = self.folder.path().join(file);
        eventually(&format!("a line in `{file}`"), || {
            if let Some(line) = line_of(&path) {
                return Some(line);
            }
            match self.process.try_wait() {
                Ok(Some(status)) if line_of(&path).is_none() => {
                    panic!("{status} before there was a line in `{file}`: {}", self.stderr())
                }
                _ => None,
            }
        })
    }

    /// Makes a file, which its step may wait for.
    pub fn touch(&self, file: &str) {
        fs::write(self.folder.path().join(file), "").unwrap();
    }

    /// The keeper beside it.
    #[track_caller]
    pub fn keeper(&self) -> i32 {
        eventually("a keeper", || {
            let pid = self.pid();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            let mut children = children.split_whitespace();
            let is_keeper = |child: &&str| {
                fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.ends_with(b"\0keeper\0"))
            };
            children.find(is_keeper)?.parse().ok()
        })
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)))
    }

    /// What it has written so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let status = eventually("the client's end", || self.process.try_wait().expect("a child of ours"));
        let read = |name: &str| {
            let bytes = fs::read(self.folder.path().join(name)).expect("an output");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (stdout, stderr) = (read("stdout"), read("stderr"));
        Finished { status, stdout, stderr, folder: self.folder }
    }
}

impl Finished {
    /// Fails the test unless it exited with this code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{}\n{}{}", self.status, self.stdout, self.stderr);
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("not JSON: {error}: {:?} {:?}", self.stdout, self.stderr),
        }
    }

    /// Files that it left in its folder, but for its outputs.
    pub fn left_behind(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).expect("its folder");
        let mut left: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        left.retain(|path| !path.ends_with("stdout") && !path.ends_with("stderr"));
        left
    }
}

/// Sends a signal to a process (or with a negative number to a group).
pub fn kill(pid: i32, signal: &str) {
    let done = Command::new("kill").args(["-s", signal, "--", &pid.to_string()]).status().expect("`kill`");
    assert!(done.success(), "kill -{signal} {pid}");
}

/// Whether the process is there, and not only waiting to be collected.
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn line_of(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.ends_with('\n').then(|| text.trim().to_owned())
}
