//! Runs the real client in an environment of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::folder::Folder;
use crate::programs;
use crate::waiting::eventually;

/// A client to start, with an empty environment and a folder of its own.
pub struct Client {
    command: Command,
    folder: Folder,
}

/// A running client.
pub struct Running {
    process: Child,
    folder: Folder,
}

/// A client that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit status.
    pub status: ExitStatus,
    /// The standard output of the client and its step.
    pub stdout: String,
    /// The standard error of the client and its step.
    pub stderr: String,
    /// The client's folder, which also holds its temporary files.
    pub folder: Folder,
}

impl Client {
    /// A client with these arguments.
    pub fn new(arguments: &[&str]) -> Self {
        let folder = Folder::new();
        // A new session, so that no signal and no terminal of the test reaches the client.
        // Restores signals that the test's parent ignores, such as Ctrl-C in a background job.
        let mut command = Command::new("env");
        command.args(["--default-signal", "setsid"]).arg(programs::client()).args(arguments).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("TMPDIR", folder.path()).current_dir(folder.path());
        command.stdin(Stdio::null());
        // Files instead of pipes, so that a process that outlives the client does not block the test.
        command.stdout(File::create(folder.path().join("stdout")).unwrap());
        command.stderr(File::create(folder.path().join("stderr")).unwrap());
        Self { command, folder }
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable of the environment.
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Writes a file into the client's folder.
    pub fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    /// Writes a folder with these files into the client's folder.
    pub fn folder_with(self, name: &str, files: &[(&str, &str)]) -> Self {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        for (file, text) in files {
            fs::write(folder.join(file), text).unwrap();
        }
        self
    }

    /// Writes a program into a folder that comes first on the `PATH` of the client.
    pub fn program(mut self, name: &str, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.folder.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(folder).chain(std::env::split_paths(&others));
        self.command.env("PATH", std::env::join_paths(all).unwrap());
        self
    }

    /// Gives the client a standard input for [`Running::write`].
    pub fn with_input(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Starts the client.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let process = self.command.spawn().expect("the client");
        Running { process, folder: self.folder }
    }

    /// Starts the client and waits for its end.
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.start().finish()
    }
}

impl Running {
    /// The client's process id.
    pub fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// The client's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes to the standard input of the client.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        use std::io::Write as _;
        let input = self.process.stdin.as_mut().expect("a client with an input");
        input.write_all(text.as_bytes()).expect("an open input");
    }

    /// Sends the client a signal, by name.
    pub fn signal(&self, name: &str) {
        kill(self.pid(), name);
    }

    /// What the step has written into a file, once that is a whole line.
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

    /// Creates a file that the step may wait for.
    pub fn touch(&self, file: &str) {
        fs::write(self.folder.path().join(file), "").unwrap();
    }

    /// The process id of the client's keeper.
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

    /// Whether the client has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)))
    }

    /// The client's output so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    /// Waits for the client's end.
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
    /// Fails the test unless the client exited with this code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{}\n{}{}", self.status, self.stdout, self.stderr);
        self
    }

    /// The standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("not JSON: {error}: {:?} {:?}", self.stdout, self.stderr),
        }
    }

    /// Files left in the client's folder, except its outputs.
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

/// Whether the process runs; a zombie does not.
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn line_of(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.ends_with('\n').then(|| text.trim().to_owned())
}
