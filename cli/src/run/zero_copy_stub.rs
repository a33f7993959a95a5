//! Where a piece of the step's output cannot be moved on without being copied, which is not on Linux, there is
//! no twin.

use std::io::{self, PipeReader};

use crate::streams::OwnStream;

/// There is none.
pub(super) enum TeePipe {}

impl TeePipe {
    pub(super) fn for_output(_: &OwnStream) -> Option<Self> {
        None
    }

    pub(super) fn take(&self, _: &PipeReader, _: usize) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn pass(&self, _: usize, _: &OwnStream) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn drop_taken(&mut self, _: usize) -> io::Result<()> {
        match *self {}
    }
}
