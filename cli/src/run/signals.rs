//! Signals to this process, and whether the terminal or a process sent them.

use std::fs::File;
use std::io::{self, Read as _};

use protocol::RevokeCause;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::backend::{Pending, SignalDelivery};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use tokio::net::UnixStream;

use super::{parent, terminal};

const HANDLED: &[i32] = &[SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM];

/// The sender of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The terminal's driver: Ctrl-C, Ctrl-\, a hang-up. Every process in the foreground group receives it.
    Terminal,
    /// A process, to this process alone.
    Process,
    /// No sender: the parent process has ended, which counts as SIGTERM.
    ParentsEnd,
}

/// A signal that this process handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Its number.
    pub(crate) signal: i32,
    /// Its sender.
    pub(crate) sender: Sender,
}

impl Received {
    /// Whether the signal requests the end of the step.
    pub(crate) fn asks_to_end(self) -> bool {
        [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&self.signal)
    }

    /// Whether a step in the same process group has received it too, and may handle it without ending: Ctrl-C in an
    /// editor.
    pub(crate) fn is_typed(self) -> bool {
        self.sender == Sender::Terminal && [SIGINT, SIGQUIT].contains(&self.signal)
    }

    /// Whether this is the end of the parent process.
    pub(crate) fn is_parents_end(self) -> bool {
        self.sender == Sender::ParentsEnd
    }

    /// Why the grant is revoked, if this ends the step.
    pub(crate) fn cause(self) -> RevokeCause {
        match self.sender {
            Sender::Terminal | Sender::Process => RevokeCause::Interrupted(self.signal),
            Sender::ParentsEnd => RevokeCause::ParentEnded,
        }
    }
}

/// The signals that arrive after [`Signals::take`].
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, WithOrigin>,
    arrived: Pending<WithOrigin>,
    parent: parent::Watch,
    typed_interrupt: bool,
}

impl Signals {
    /// Handles the signals that would end this process, except those that the parent set to ignored (`nohup`, a background
    /// job of a script): these stay ignored, also for the step, as POSIX specifies. SIGTERM is always handled: platforms stop
    /// a step with it. The parent's end counts as one.
    pub(crate) fn take(parent: parent::Watch) -> io::Result<Self> {
        let ignored = ignored_by_parent();
        let handled =
            HANDLED.iter().filter(|signal| **signal == SIGTERM || ignored & (1 << (**signal - 1)) == 0);
        let (wake, waker) = std::os::unix::net::UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mut delivery =
            SignalDelivery::with_pipe(UnixStream::from_std(wake)?, waker, WithOrigin::default(), handled)?;
        let arrived = delivery.pending();
        Ok(Self { delivery, arrived, parent, typed_interrupt: false })
    }

    /// The next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Received {
        let mut orphaned = false;
        loop {
            if let Some(origin) = self.arrived.next() {
                return self.record(&origin);
            }
            if orphaned {
                self.parent = parent::Watch::Off;
                return Received { signal: SIGTERM, sender: Sender::ParentsEnd };
            }
            let wake = self.delivery.get_read();
            tokio::select! {
                biased;
                readable = wake.readable() => if readable.is_err() {
                    return std::future::pending().await;
                },
                // Only when no signal has come with it: see `record`.
                () = self.parent.ended() => orphaned = true,
            }
            // Unread bytes would make it readable for ever.
            while wake.try_read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
            self.arrived = self.delivery.pending();
        }
    }

    /// Whether Ctrl-C was typed up to now.
    pub(crate) fn interrupt_was_typed(&mut self) -> bool {
        while let Some(origin) = self.arrived.next() {
            self.record(&origin);
        }
        for origin in self.delivery.pending() {
            self.record(&origin);
        }
        self.typed_interrupt
    }

    fn record(&mut self, origin: &Origin) -> Received {
        let received = Received { signal: origin.signal, sender: sender(origin) };
        self.typed_interrupt |= received.is_typed() && received.signal == SIGINT;
        if received.asks_to_end() && !received.is_typed() {
            // A platform that stops a whole group ends the parent too: the step receives one signal.
            self.parent = parent::Watch::Off;
        }
        received
    }
}

fn sender(origin: &Origin) -> Sender {
    // Not every kernel reports the sender: a signal that can come from the terminal counts as the terminal's.
    let unknown_but_typed = || matches!(origin.cause, Cause::Unknown) && terminal::in_foreground();
    if matches!(origin.cause, Cause::Kernel) || unknown_but_typed() {
        Sender::Terminal
    } else {
        Sender::Process
    }
}

/// Ends this process by SIGINT, so that a shell that runs it in a loop sees the interrupt. Returns if that fails.
pub(crate) fn die_of_interrupt() {
    let _ = signal_hook::low_level::emulate_default_handler(SIGINT);
}

/// The mask of ignored signals, where the system reports it without unsafe code.
fn ignored_by_parent() -> u64 {
    parse_ignored(&own_status().unwrap_or_default())
}

/// Reads with one call: without a capacity the file is read in ten.
fn own_status() -> io::Result<String> {
    let mut status = String::with_capacity(8 * 1024);
    File::open("/proc/self/status")?.take(4 * 1024).read_to_string(&mut status)?;
    Ok(status)
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
    fn only_typed_signals_are_left_to_the_step() {
        let from = |sender, signal| Received { signal, sender };
        assert!(from(Sender::Terminal, SIGINT).is_typed());
        assert!(!from(Sender::Process, SIGINT).is_typed());
        assert!(!from(Sender::Terminal, SIGHUP).is_typed());
        assert!(from(Sender::Terminal, SIGHUP).asks_to_end());
        assert!(!from(Sender::Process, SIGUSR1).asks_to_end());
    }
}
