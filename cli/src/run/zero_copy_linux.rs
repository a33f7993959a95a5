//! How does a piece of the step's output that has no secret in it reach our output without being copied?
//!
//! Linux can put the same pages into a second pipe. One of the two is read and looked at; when the piece is
//! clean, the pages of the other are moved on to our own output as they are, and otherwise dropped.

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::unix::fs::FileTypeExt as _;

use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{SpliceFlags, splice, tee};

use crate::streams::OwnStream;

/// The second pipe; empty between two pieces.
pub(super) struct TeePipe {
    read: PipeReader,
    write: PipeWriter,
}

impl TeePipe {
    /// Where our own output is a pipe; pages cannot be moved to every other kind of file.
    pub(super) fn for_output(to: &OwnStream) -> Option<Self> {
        if !to.file().metadata().ok()?.file_type().is_fifo() {
            return None;
        }
        let (read, write) = io::pipe().ok()?;
        Some(Self { read, write })
    }

    /// Waits for the step to write, and takes what is there, without reading it from its own pipe.
    /// How many bytes; 0 when it will not write any more.
    pub(super) fn take(&self, from: &PipeReader, most: usize) -> io::Result<usize> {
        Ok(retry_on_intr(|| tee(from, &self.write, most, SpliceFlags::empty()))?)
    }

    /// Moves all that was taken on.
    pub(super) fn pass(&self, taken: usize, to: &OwnStream) -> io::Result<()> {
        let mut left = taken;
        while left > 0 {
            match splice(&self.read, None, to.file(), None, left, SpliceFlags::MOVE) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(moved) => left -= moved,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => to.wait_for_room()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Forgets all that was taken.
    pub(super) fn drop_taken(&mut self, taken: usize) -> io::Result<()> {
        io::copy(&mut self.read.by_ref().take(taken as u64), &mut io::sink())?;
        Ok(())
    }
}
