//! The client's own standard output and standard error, as plain files.
//!
//! Rust's own handles buffer lines, which costs a copy and delays a prompt, and return an error for a full pipe that
//! another process has set to non-blocking.

use std::fs::File;
use std::io::{self, Write};

/// One of the two.
pub(crate) struct OwnStream(File);

/// Whether the two are one open file: some runners merge them, and so does `2>&1` in a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// One file: the order of all writes is preserved.
    Merged,
    /// Two files: the order in which they are read is unknown.
    Apart,
}

impl OwnStream {
    /// Standard output.
    pub(crate) fn stdout() -> io::Result<Self> {
        platform::stdout().map(Self)
    }

    /// Standard error.
    pub(crate) fn stderr() -> io::Result<Self> {
        platform::stderr().map(Self)
    }

    /// The file, for calls that move pages between pipes. They do not wait for a slow reader.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux moves pages between pipes"))]
    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// Waits until a non-blocking pipe has room.
    pub(crate) fn wait_for_room(&self) -> io::Result<()> {
        platform::wait_for_room(&self.0)
    }
}

impl Write for OwnStream {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(text) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_for_room()?,
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Streams {
    /// How standard output and standard error of this process are related.
    pub(crate) fn of_this_process() -> Self {
        if platform::are_one_file() { Self::Merged } else { Self::Apart }
    }
}

#[cfg(unix)]
mod platform {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsFd as _;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::retry_on_intr;

    pub(super) fn stdout() -> io::Result<File> {
        io::stdout().as_fd().try_clone_to_owned().map(File::from)
    }

    pub(super) fn stderr() -> io::Result<File> {
        io::stderr().as_fd().try_clone_to_owned().map(File::from)
    }

    pub(super) fn wait_for_room(file: &File) -> io::Result<()> {
        retry_on_intr(|| poll(&mut [PollFd::new(file, PollFlags::OUT)], None))?;
        Ok(())
    }

    pub(super) fn are_one_file() -> bool {
        let (Ok(out), Ok(err)) =
            (rustix::fs::fstat(io::stdout().as_fd()), rustix::fs::fstat(io::stderr().as_fd()))
        else {
            return false;
        };
        (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino)
    }
}

#[cfg(windows)]
mod platform {
    use std::fs::File;
    use std::io;
    use std::os::windows::io::AsHandle as _;

    pub(super) fn stdout() -> io::Result<File> {
        io::stdout().as_handle().try_clone_to_owned().map(File::from)
    }

    pub(super) fn stderr() -> io::Result<File> {
        io::stderr().as_handle().try_clone_to_owned().map(File::from)
    }

    /// Windows pipes do not report that a write would block.
    pub(super) fn wait_for_room(_: &File) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Windows reports it only to unsafe code.
    pub(super) fn are_one_file() -> bool {
        false
    }
}
