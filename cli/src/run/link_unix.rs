//! How is the keeper tied to us, and to nothing else?

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use tokio::process::{Child, Command};

/// What we hold: closed by the kernel whenever and however we end.
pub(super) type OurEnd = tokio::net::UnixStream;

/// Our end before the keeper runs.
pub(super) struct Ours(std::os::unix::net::UnixStream);

/// The keeper's end before the keeper runs.
pub(super) struct Theirs(std::os::unix::net::UnixStream);

/// Both ends; neither is inherited by a step.
pub(super) fn pair() -> io::Result<(Ours, Theirs)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    Ok((Ours(ours), Theirs(theirs)))
}

impl Ours {
    /// Says `first` at once, so that the keeper finds it when it has started. Waits for the keeper only when it
    /// is more than a socket holds.
    pub(super) async fn connect(self, _keeper: &mut Child, first: &[u8]) -> io::Result<OurEnd> {
        (&self.0).write_all(first)?;
        self.0.set_nonblocking(true)?;
        OurEnd::from_std(self.0)
    }
}

impl Theirs {
    /// As standard input, which is also written to: once, see [`tell_ready`].
    pub(super) fn attach_to(self, command: &mut Command) -> &mut Command {
        command.arg0("cloudanix-jit").stdin(OwnedFd::from(self.0)).stdout(Stdio::null())
    }
}

/// The very file that runs now, even when an update has replaced it on disk.
pub(super) fn this_program() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

/// Nothing: platforms find processes to be killed by marks that they leave in the environment.
pub(super) fn needed_environment() -> Vec<(String, std::ffi::OsString)> {
    Vec::new()
}

/// Away from our terminal, process group and session, and deaf to polite requests to end: these are for the
/// wrapper, whose end the keeper waits for.
pub(super) fn leave_session() {
    let _ = rustix::process::setsid();
    let heard = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&heard));
    }
}

/// From here on nothing that ends the wrapper ends the keeper.
pub(super) fn tell_ready() {
    use std::os::fd::AsFd as _;
    if let Ok(link) = io::stdin().as_fd().try_clone_to_owned() {
        let _ = std::os::unix::net::UnixStream::from(link).write_all(b".");
    }
}
