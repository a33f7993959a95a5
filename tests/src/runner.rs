//! Plays how a CI system stops a step: which signal, to which processes, and when.
//!
//! A platform is a list of [`ScheduledSignal`]s. A thread sends them to the real process tree of a wrapper, so that a
//! test observes the broker meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The processes that a signal is sent to.
#[derive(Debug, Clone)]
pub enum Recipients {
    /// Only the process that the runner started.
    Entry,
    /// The process group of that process.
    Group,
    /// That process and all its current descendants.
    Tree,
    /// Every process that has this in its environment, as `NAME=value`.
    Marked(String),
}

/// One signal.
#[derive(Debug, Clone)]
pub struct ScheduledSignal {
    /// Delay after the first signal.
    pub after: Duration,
    /// Name of the signal, like `TERM`.
    pub signal: &'static str,
    /// The processes that receive it.
    pub recipients: Recipients,
}

impl ScheduledSignal {
    /// At once.
    pub fn first(signal: &'static str, recipients: Recipients) -> Self {
        Self { after: Duration::ZERO, signal, recipients }
    }

    /// After this many milliseconds.
    pub fn then(after: u64, signal: &'static str, recipients: Recipients) -> Self {
        Self { after: Duration::from_millis(after), signal, recipients }
    }
}

/// A schedule of signals in progress.
#[derive(Debug)]
pub struct Cancel {
    /// When the schedule began.
    pub began: Instant,
    player: JoinHandle<()>,
}

/// Plays a schedule to the step whose first process is `entry`; stops early when no process is left.
pub fn cancel(entry: i32, signals: Vec<ScheduledSignal>) -> Cancel {
    let began = Instant::now();
    let player = std::thread::spawn(move || {
        for signal in signals {
            while began.elapsed() < signal.after {
                let left = signal.after.saturating_sub(began.elapsed());
                std::thread::sleep(left.min(Duration::from_millis(20)));
                if recipients(entry, &signal.recipients).is_empty() {
                    return;
                }
            }
            for pid in recipients(entry, &signal.recipients) {
                send(pid, signal.signal);
            }
        }
    });
    Cancel { began, player }
}

impl Cancel {
    /// Waits until the last signal is sent, or no process is left.
    pub fn finish(self) {
        // The thread only sends signals; the test observes a failure at the broker.
        let _ = self.player.join();
    }
}

/// The processes that a signal to these recipients would reach now.
pub fn recipients(entry: i32, recipients: &Recipients) -> Vec<i32> {
    let alive = alive();
    let is_there = |pid: &i32| alive.contains_key(pid);
    match recipients {
        Recipients::Entry => Some(entry).filter(is_there).into_iter().collect(),
        Recipients::Group => {
            let members = alive.iter().filter(|(_, process)| process.group == entry);
            members.map(|(pid, _)| *pid).collect()
        }
        Recipients::Tree => {
            let mut tree: Vec<i32> = Some(entry).filter(is_there).into_iter().collect();
            let mut looked_at = 0;
            while let Some(parent) = tree.get(looked_at).copied() {
                tree.extend(
                    alive.iter().filter(|(_, process)| process.parent == parent).map(|(pid, _)| *pid),
                );
                looked_at += 1;
            }
            tree
        }
        Recipients::Marked(mark) => {
            let marked = |pid: &&i32| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
            };
            alive.keys().filter(marked).copied().collect()
        }
    }
}

/// Simulates the loss of the machine: stops every descendant of these processes before it kills any, so that none
/// notices the death of another and revokes.
pub fn kill_the_machine(entries: &[i32]) {
    // Parents before their children. Not in the order of pids, which wrap around.
    let mut stopped: Vec<i32> = Vec::new();
    // Repeats until no process is new: a process may have started another before it was stopped.
    loop {
        let mut more: Vec<i32> =
            entries.iter().flat_map(|entry| recipients(*entry, &Recipients::Tree)).collect();
        more.retain(|pid| !stopped.contains(pid));
        if more.is_empty() {
            break;
        }
        // Children first: the kernel continues a stopped process group that loses its leader.
        more.iter().rev().for_each(|pid| send(*pid, "STOP"));
        stopped.extend(more);
    }
    stopped.iter().rev().for_each(|pid| send(*pid, "KILL"));
}

/// Sends a signal; a process that has ended is no error.
fn send(pid: i32, signal: &str) {
    let pid = pid.to_string();
    let _ = Command::new("kill").args(["-s", signal, "--", &pid]).stderr(Stdio::null()).status();
}

struct Process {
    parent: i32,
    group: i32,
}

/// All processes except zombies.
fn alive() -> BTreeMap<i32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter_map(|pid| Some((pid, process(pid)?))).collect()
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (state != "Z" && state != "X").then_some(Process { parent, group })
}
