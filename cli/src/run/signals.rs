//! Which signals reach us, and did the terminal send them or a process?

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use tokio::sync::mpsc;

use super::terminal;

const TAKEN: &[i32] = &[SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM];

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The terminal's driver: Ctrl-C, Ctrl-\, a hang-up. Everybody in the foreground group got it.
    Terminal,
    /// A process, which meant us alone.
    Process,
}

/// A signal that we took instead of dying of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Its number.
    pub(crate) signal: i32,
    /// Where it came from.
    pub(crate) sender: Sender,
}

impl Received {
    /// Whether somebody wants the step to end, rather than tell it something.
    pub(crate) fn asks_to_end(self) -> bool {
        [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&self.signal)
    }

    /// Whether a step in our process group has it already, and may use it for something else than ending:
    /// Ctrl-C in an editor.
    pub(crate) fn is_typed(self) -> bool {
        self.sender == Sender::Terminal && [SIGINT, SIGQUIT].contains(&self.signal)
    }
}

/// The signals that arrive from the moment this exists.
pub(crate) struct Signals {
    received: mpsc::UnboundedReceiver<Received>,
    typed_interrupt: bool,
}

impl Signals {
    /// Takes over the signals that would end us, except those that our parent had us ignore (`nohup`, a
    /// background job of a script): these stay ignored, for us and for the step.
    pub(crate) fn take() -> io::Result<Self> {
        let ignored = ignored_by_parent();
        let taken = TAKEN.iter().filter(|signal| ignored & (1 << (**signal - 1)) == 0);
        let mut signals = SignalsInfo::<WithOrigin>::new(taken)?;
        let (send, received) = mpsc::unbounded_channel();
        thread::Builder::new().name("signals".to_owned()).stack_size(64 * 1024).spawn(move || {
            for origin in &mut signals {
                if send.send(Received { signal: origin.signal, sender: sender(&origin) }).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { received, typed_interrupt: false })
    }

    /// The next one. Safe to be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Received {
        match self.received.recv().await {
            Some(received) => self.noted(received),
            None => std::future::pending().await,
        }
    }

    /// Whether Ctrl-C was typed up to now.
    pub(crate) fn interrupt_was_typed(&mut self) -> bool {
        while let Ok(received) = self.received.try_recv() {
            self.noted(received);
        }
        self.typed_interrupt
    }

    fn noted(&mut self, received: Received) -> Received {
        self.typed_interrupt |= received.is_typed() && received.signal == SIGINT;
        received
    }
}

fn sender(origin: &Origin) -> Sender {
    // Not every kernel says: then what can have come from the terminal is taken to have.
    let unknown_but_typed = || matches!(origin.cause, Cause::Unknown) && terminal::in_foreground();
    if matches!(origin.cause, Cause::Kernel) || unknown_but_typed() {
        Sender::Terminal
    } else {
        Sender::Process
    }
}

/// Ends this process as the terminal's Ctrl-C would have, so that a shell that runs us in a loop sees that
/// its loop was interrupted. Returns when that is not possible.
pub(crate) fn die_of_interrupt() {
    let _ = signal_hook::low_level::emulate_default_handler(SIGINT);
}

/// The mask of ignored signals, where the system tells it without unsafe code.
fn ignored_by_parent() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_ignored(&status)
}

fn parse_ignored(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(parse_ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"), 0x1001);
        assert_eq!(parse_ignored("Name:\tx\n"), 0);
    }

    #[test]
    fn only_what_was_typed_is_left_to_the_step() {
        let from = |sender, signal| Received { signal, sender };
        assert!(from(Sender::Terminal, SIGINT).is_typed());
        assert!(!from(Sender::Process, SIGINT).is_typed());
        assert!(!from(Sender::Terminal, SIGHUP).is_typed());
        assert!(from(Sender::Terminal, SIGHUP).asks_to_end());
        assert!(!from(Sender::Process, SIGUSR1).asks_to_end());
    }
}
