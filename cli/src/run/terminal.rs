//! The controlling terminal, and how the step shares it.
//!
//! With a controlling terminal the step stays in this process' group. The shell then sees one job: Ctrl-C, Ctrl-Z, window
//! size and `fg` reach the step from the terminal itself, and the foreground group never changes. To change it and back
//! would need `SIGTTOU` blocked, which safe Rust cannot do.
//!
//! Without a terminal, as in CI, the step leads a group of its own, so that a signal that the platform sends to this
//! process alone reaches the step's descendants too.

use std::fs::File;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, getpid, kill_process, waitid};

/// The process group of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// This process' group, which the terminal's shell manages.
    Shared,
    /// A group of its own.
    Own,
}

/// The group for a step that starts now.
pub(crate) fn group_for_step() -> Group {
    match controlling() {
        Some(_) => Group::Shared,
        None => Group::Own,
    }
}

/// Whether this process is in the terminal's foreground group.
pub(super) fn in_foreground() -> bool {
    controlling().and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok()) == Some(getpgrp())
}

fn controlling() -> Option<File> {
    File::open("/dev/tty").ok()
}

/// Whether the step is stopped now.
pub(super) fn is_stopped(step: Pid) -> bool {
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(step), options), Ok(Some(_)))
}

/// Stops this process. May return before the stop: another thread may take the signal.
pub(super) fn stop_this_process() {
    let _ = kill_process(getpid(), Signal::STOP);
}

/// Continues the step.
pub(super) fn resume(step: Pid) {
    let _ = kill_process(step, Signal::CONT);
}
