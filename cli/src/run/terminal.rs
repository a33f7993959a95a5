//! Is there a terminal that controls us, and how do we share it with the step?
//!
//! With a controlling terminal the step stays in our process group. The shell then sees one job: Ctrl-C,
//! Ctrl-Z, window size and `fg` reach the step from the terminal itself and the terminal never changes hands.
//! Handing it over and taking it back would need `SIGTTOU` blocked, which safe Rust cannot do.
//!
//! Without one, as in CI, the step leads a group of its own, so that a signal that the platform sends to us
//! alone reaches the step's descendants too.

use std::fs::File;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, getpid, kill_process, waitid};

/// In whose process group the step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Ours, which the terminal's shell manages.
    Shared,
    /// Its own.
    Own,
}

/// The group for a step that is started now.
pub(crate) fn group_for_step() -> Group {
    match controlling() {
        Some(_) => Group::Shared,
        None => Group::Own,
    }
}

/// Whether what is typed reaches us now.
pub(super) fn in_foreground() -> bool {
    controlling().and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok()) == Some(getpgrp())
}

fn controlling() -> Option<File> {
    File::open("/dev/tty").ok()
}

/// Whether the step is stopped now.
pub(super) fn is_stopped(step: Pid) -> bool {
    let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(step), look), Ok(Some(_)))
}

/// Stops us. May return before it has taken effect: another thread may be the one that takes the signal.
pub(super) fn stop_ourselves() {
    let _ = kill_process(getpid(), Signal::STOP);
}

/// Lets the step go on.
pub(super) fn go_on(step: Pid) {
    let _ = kill_process(step, Signal::CONT);
}
