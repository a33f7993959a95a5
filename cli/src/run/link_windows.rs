//! How is the keeper tied to us, and to nothing else?

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// What we hold: closed by the system whenever and however we end.
pub(super) struct OurEnd {
    to_keeper: ChildStdin,
    from_keeper: ChildStdout,
}

/// Our end before the keeper runs.
pub(super) struct Ours;

/// The keeper's end before the keeper runs.
pub(super) struct Theirs;

pub(super) fn pair() -> io::Result<(Ours, Theirs)> {
    Ok((Ours, Theirs))
}

impl Ours {
    /// Says `first` at once.
    pub(super) async fn connect(self, keeper: &mut Child, first: &[u8]) -> io::Result<OurEnd> {
        let (Some(mut to_keeper), Some(from_keeper)) = (keeper.stdin.take(), keeper.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        to_keeper.write_all(first).await?;
        to_keeper.flush().await?;
        Ok(OurEnd { to_keeper, from_keeper })
    }
}

impl Theirs {
    /// A console of its own that nobody sees: Ctrl-C in ours does not reach it.
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

/// Sockets cannot be opened without it.
pub(super) fn needed_environment() -> Vec<(String, std::ffi::OsString)> {
    std::env::var_os("SystemRoot").map(|root| ("SystemRoot".to_owned(), root)).into_iter().collect()
}

/// Done by the flags it was created with.
pub(super) fn leave_session() {}

/// From here on nothing that ends the wrapper ends the keeper.
pub(super) fn tell_ready() {
    let mut out = io::stdout();
    let _ = out.write_all(b".").and_then(|()| out.flush());
}

impl AsyncRead for OurEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from_keeper).poll_read(cx, buf)
    }
}

impl AsyncWrite for OurEnd {
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
