//! Runs the real binary around a step, and observes its processes.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use protocol::AuthToken;
use rustix::process::{Pid, Signal, kill_process};

use crate::fake_broker::{AWS_SECRETS, FakeBroker, SOON};

/// A step that records each signal and runs until the file `go` exists.
pub(crate) const DEAF: &str = "for s in INT TERM HUP QUIT USR1; do trap \"echo $s >> heard\" $s; done; \
                               echo $$ > pid; until test -e go || ! test -e pid; do sleep 0.01; done; exit 4";

/// The binary in its own environment, without a terminal.
pub(crate) struct Wrapper {
    pub(crate) command: Command,
    pub(crate) folder: Folder,
}

pub(crate) fn auth_token() -> AuthToken {
    AuthToken::from_random([1; 6], [2; 24])
}

impl Wrapper {
    pub(crate) fn new(broker: &FakeBroker, arguments: &[&str]) -> Self {
        Self::through(&["setsid"], broker, arguments)
    }

    pub(crate) fn for_ttl(ttl: &str, broker: &FakeBroker, arguments: &[&str]) -> Self {
        Self::build(&["setsid"], ttl, broker, arguments)
    }

    /// The wrapper, started by another program.
    pub(crate) fn through(launcher: &[&str], broker: &FakeBroker, arguments: &[&str]) -> Self {
        Self::build(launcher, "15m", broker, arguments)
    }

    /// Starts another command of the client than `run`.
    pub(crate) fn of(launcher: &[&str], broker: &FakeBroker, line: &[&str]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        // Restores signals that the tests' parent ignores, such as Ctrl-C in a background job.
        let mut command = Command::new("env");
        command.arg("--default-signal").args(launcher).arg(env!("CARGO_BIN_EXE_cloudanix-jit")).args(line);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("TMPDIR", folder.path()).env("CLOUDANIX_URL", &broker.url);
        command.env("CLOUDANIX_AGENT_ID", "test-agent");
        command.env("CLOUDANIX_AUTH_TOKEN", auth_token().secret().reveal());
        command.env("CLOUDANIX_PLATFORM", "none").current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, folder }
    }

    fn build(launcher: &[&str], ttl: &str, broker: &FakeBroker, arguments: &[&str]) -> Self {
        Self::of(launcher, broker, &[&["run", "--policy", "orders-read", "--ttl", ttl], arguments].concat())
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn start(mut self) -> Running {
        let child = self.command.spawn().unwrap();
        Running { child, folder: self.folder }
    }

    pub(crate) fn finish(self) -> Finished {
        self.start().finish()
    }
}

/// The folder of a wrapper and all its descendants. Dropping it kills every process in it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Repeats until no process is left: one may have been about to start another.
        while processes_in(self.path())
            .into_iter()
            .filter_map(Pid::from_raw)
            .any(|pid| kill_process(pid, Signal::KILL).is_ok())
        {}
    }
}

fn processes_in(folder: &Path) -> Vec<i32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    processes
        .filter(|pid| !is_gone(*pid))
        .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder)))
        .collect()
}

/// A running wrapper.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) folder: Folder,
}

pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) folder: Folder,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(self.pid(), signal);
    }

    /// The pid that the step wrote into this file of its folder.
    #[track_caller]
    pub(crate) fn pid_in(&self, file: &str) -> i32 {
        let path = self.folder.path().join(file);
        eventually(&format!("a pid in {}", path.display()), || {
            fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))?.trim().parse().ok()
        })
    }

    #[track_caller]
    pub(crate) fn keeper(&self) -> i32 {
        eventually("a keeper", || keeper_of(self.pid()))
    }

    /// Waits for the end, with everything that was printed.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        let stdout = self.child.stdout.take().map(all_of);
        let stderr = self.child.stderr.take().map(all_of);
        let text = |output: Option<Receiver<String>>| {
            output.map_or_else(String::new, |output| output.recv_timeout(SOON).unwrap())
        };
        let (stdout, stderr) = (text(stdout), text(stderr));
        let status = eventually("the wrapper's end", || self.child.try_wait().unwrap());
        Finished { status, stdout, stderr, folder: self.folder }
    }

    /// Waits for the end of the wrapper only: other processes may still hold its outputs open.
    #[track_caller]
    pub(crate) fn status(&mut self) -> ExitStatus {
        eventually("the wrapper's end", || self.child.try_wait().unwrap())
    }
}

/// Reads on a thread, so that the wait for the end of an output has a deadline too.
fn all_of(mut output: impl Read + Send + 'static) -> Receiver<String> {
    let (done, text) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).unwrap();
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}

impl Finished {
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{:?}: {}", self.status.signal(), self.stderr);
        self
    }

    /// Neither output holds a secret of any AWS session.
    #[track_caller]
    pub(crate) fn assert_holds_no_secret(&self) {
        for (key, token) in AWS_SECRETS {
            for secret in [key, token] {
                assert!(
                    !self.stdout.contains(secret) && !self.stderr.contains(secret),
                    "the output contains {secret}"
                );
            }
        }
    }
}

pub(crate) fn kill(pid: i32, signal: &str) {
    let done = Command::new("kill").args(["-s", signal, "--", &pid.to_string()]).status().unwrap();
    assert!(done.success(), "kill -{signal} {pid}");
}

/// Polls until there is a value; fails the test after a deadline.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: did not happen in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[track_caller]
pub(crate) fn wait_until_gone(pid: i32) {
    eventually(&format!("the end of process {pid}"), || is_gone(pid).then_some(()));
}

/// Whether the process has ended; a zombie whose parent has not waited for it counts as ended.
pub(crate) fn is_gone(pid: i32) -> bool {
    state_of(pid).is_none_or(|state| state == 'Z')
}

/// `R`, `S`, `T` (stopped), `Z`, …
pub(crate) fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

pub(crate) fn children_of(pid: i32) -> Vec<i32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

pub(crate) fn keeper_of(pid: i32) -> Option<i32> {
    children_of(pid).into_iter().find(|child| {
        fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.ends_with(b"\0keeper\0"))
    })
}

/// Every file below `folder`.
pub(crate) fn files_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
