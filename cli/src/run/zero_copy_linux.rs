//! Forwards a piece of the step's output without a copy if it contains no secret.
//!
//! `tee` puts the same pages into a second pipe. One pipe is read and searched; if the piece is clean, `splice` moves the
//! pages of the other to this process' output, otherwise they are discarded.

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::unix::fs::FileTypeExt as _;

use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{SpliceFlags, splice, tee};

use crate::streams::OwnStream;

/// The second pipe. Empty between two pieces.
pub(super) struct TeePipe {
    read: PipeReader,
    write: PipeWriter,
}

impl TeePipe {
    /// A tee pipe if the output is a pipe: pages cannot be moved to every other kind of file.
    pub(super) fn for_output(to: &OwnStream) -> Option<Self> {
        if !to.file().metadata().ok()?.file_type().is_fifo() {
            return None;
        }
        let (read, write) = io::pipe().ok()?;
        Some(Self { read, write })
    }

    /// Waits for output and duplicates it into this pipe, without reading it from the step's. Returns the number of bytes;
    /// 0 at the end.
    pub(super) fn fill(&self, from: &PipeReader, most: usize) -> io::Result<usize> {
        Ok(retry_on_intr(|| tee(from, &self.write, most, SpliceFlags::empty()))?)
    }

    /// Moves the duplicated bytes to the output.
    pub(super) fn forward(&self, taken: usize, to: &OwnStream) -> io::Result<()> {
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

    /// Discards the duplicated bytes.
    pub(super) fn discard(&mut self, taken: usize) -> io::Result<()> {
        io::copy(&mut self.read.by_ref().take(taken as u64), &mut io::sink())?;
        Ok(())
    }
}
