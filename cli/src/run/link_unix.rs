//! The link between `run` and its keeper: a socket that no other process has.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use tokio::process::{Child, Command};

/// The end of `run`: the kernel closes it however `run` ends.
pub(super) type RunEnd = tokio::net::UnixStream;

/// The end of `run` before the keeper runs.
pub(super) struct PendingRunEnd(std::os::unix::net::UnixStream);

/// The keeper's end before the keeper runs.
pub(super) struct KeeperEnd(std::os::unix::net::UnixStream);

/// Both ends; neither is inherited by a step.
pub(super) fn pair() -> io::Result<(PendingRunEnd, KeeperEnd)> {
    let (run_end, keeper_end) = std::os::unix::net::UnixStream::pair()?;
    Ok((PendingRunEnd(run_end), KeeperEnd(keeper_end)))
}

impl PendingRunEnd {
    /// Sends `first` at once, so that the keeper finds it when it starts. Waits for the keeper only if `first` exceeds the
    /// socket's buffer.
    pub(super) async fn connect(self, _keeper: &mut Child, first: &[u8]) -> io::Result<RunEnd> {
        (&self.0).write_all(first)?;
        self.0.set_nonblocking(true)?;
        RunEnd::from_std(self.0)
    }
}

impl KeeperEnd {
    /// Attaches the socket as standard input. The keeper also writes to it once, see [`tell_ready`].
    pub(super) fn attach_to(self, command: &mut Command) -> &mut Command {
        command.arg0("cloudanix-jit").stdin(OwnedFd::from(self.0)).stdout(Stdio::null())
    }
}

/// The file that runs now, even if an update has replaced it on disk.
pub(super) fn this_program() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

/// Empty: platforms find the processes to kill by marks in their environment.
pub(super) fn needed_environment() -> Vec<(String, std::ffi::OsString)> {
    Vec::new()
}

/// Leaves the terminal, process group and session of `run`, and ignores signals that ask to end: they are for `run`, and
/// the keeper waits for the end of `run`.
pub(super) fn leave_session() {
    let _ = rustix::process::setsid();
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&ignored));
    }
}

/// Tells `run` that the keeper survives its end from now on.
pub(super) fn tell_ready() {
    use std::os::fd::AsFd as _;
    if let Ok(link) = io::stdin().as_fd().try_clone_to_owned() {
        let _ = std::os::unix::net::UnixStream::from(link).write_all(b".");
    }
}
