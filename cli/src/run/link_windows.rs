//! The link between `run` and its keeper: pipes that no other process has.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The end of `run`: the system closes it however `run` ends.
pub(super) struct RunEnd {
    to_keeper: ChildStdin,
    from_keeper: ChildStdout,
}

/// The end of `run` before the keeper runs.
pub(super) struct PendingRunEnd;

/// The keeper's end before the keeper runs.
pub(super) struct KeeperEnd;

pub(super) fn pair() -> io::Result<(PendingRunEnd, KeeperEnd)> {
    Ok((PendingRunEnd, KeeperEnd))
}

impl PendingRunEnd {
    /// Sends `first` at once.
    pub(super) async fn connect(self, keeper: &mut Child, first: &[u8]) -> io::Result<RunEnd> {
        let (Some(mut to_keeper), Some(from_keeper)) = (keeper.stdin.take(), keeper.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        to_keeper.write_all(first).await?;
        to_keeper.flush().await?;
        Ok(RunEnd { to_keeper, from_keeper })
    }
}

impl KeeperEnd {
    /// Gives the keeper an invisible console of its own: Ctrl-C in the console of `run` does not reach it.
    pub(super) fn attach_to(self, command: &mut Command) -> &mut Command {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        command.creation_flags(CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW);
        command.stdin(Stdio::piped()).stdout(Stdio::piped())
    }
}

/// The file that runs now.
pub(super) fn this_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The variables without which sockets cannot be opened.
pub(super) fn needed_environment() -> Vec<(String, std::ffi::OsString)> {
    std::env::var_os("SystemRoot").map(|root| ("SystemRoot".to_owned(), root)).into_iter().collect()
}

/// Does nothing: the creation flags separate the keeper.
pub(super) fn leave_session() {}

/// Tells `run` that the keeper survives its end from now on.
pub(super) fn tell_ready() {
    let mut out = io::stdout();
    let _ = out.write_all(b".").and_then(|()| out.flush());
}

impl AsyncRead for RunEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from_keeper).poll_read(cx, buf)
    }
}

impl AsyncWrite for RunEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.to_keeper).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to_keeper).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to_keeper).poll_shutdown(cx)
    }
}
