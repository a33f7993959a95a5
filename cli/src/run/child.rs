//! How is the step's command started, told a signal, and its end understood?

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::ExitStatus;

use protocol::RevokeCause;
use tokio::process::{Child, Command};

use super::output::{Outputs, StepOutput};
use crate::exit::Exit;
use crate::handed::Handed;

/// After this long a stop is not one half of something that the terminal does to both of us.
#[cfg(unix)]
const SETTLED: std::time::Duration = std::time::Duration::from_millis(20);

const SIGTERM: i32 = 15;

/// What the step is given besides what we have ourselves.
pub(crate) struct Surroundings<'a> {
    /// The id of its grant.
    pub(crate) grant: &'a str,
    /// What the grant gives, and takes.
    pub(crate) handed: &'a Handed,
    /// Where commands that are named without a folder are looked for.
    #[cfg(unix)]
    pub(crate) path: Option<&'a str>,
    /// Where its output goes.
    pub(crate) output: StepOutput,
}

/// A command that runs.
pub(crate) struct Step {
    child: Child,
    outputs: Outputs,
    #[cfg(unix)]
    group: super::terminal::Group,
    #[cfg(unix)]
    pid: Option<rustix::process::Pid>,
}

/// A command that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` cannot be started: {source}")]
pub(crate) struct NotStarted {
    command: String,
    source: io::Error,
}

impl NotStarted {
    /// 127 when it was not found, otherwise 126, as a shell.
    pub(crate) fn exit(&self) -> Exit {
        if self.source.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::CannotExecute }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        if self.source.kind() == io::ErrorKind::NotFound {
            "is it installed, is its folder in PATH, and if it is a script, is the program of its `#!` line there?"
        } else {
            "is it a program for this machine, or a script, and may it be executed (`chmod +x`)?"
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// Not at all: it ignored SIGTERM, and the process that started us has ended.
    Left,
}

impl Ended {
    /// The code for our own exit: the step's, or 128+n.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => 128 + signal,
            Self::Left => 128 + SIGTERM,
        }
    }

    /// What the broker is told.
    pub(crate) fn cause(self) -> RevokeCause {
        match self {
            Self::Exited(code) => RevokeCause::StepExited(code),
            Self::Killed(signal) => RevokeCause::StepKilled(signal),
            Self::Left => RevokeCause::ParentEnded,
        }
    }
}

impl Step {
    /// Starts `command` (the program and its arguments). Standard input is inherited, and so is the output
    /// unless it is redacted.
    pub(crate) fn start(command: &[OsString], surroundings: &Surroundings<'_>) -> Result<Self, NotStarted> {
        let (program, arguments) = match command {
            [program, arguments @ ..] => (program.as_os_str(), arguments),
            [] => (OsStr::new(""), [].as_slice()),
        };
        let mut command = Command::new(program);
        command.args(arguments);
        let started = Self::spawn(command, surroundings);
        #[cfg(unix)]
        let started = started.or_else(|error| {
            use super::shell::{SHELL, is_nowhere, without_interpreter};
            if is_nowhere(&error, program, surroundings.path) {
                return Err(rustix::io::Errno::NOENT.into());
            }
            let script = without_interpreter(&error, program, surroundings.path).ok_or(error)?;
            let mut command = Command::new(SHELL);
            command.arg(script).args(arguments);
            Self::spawn(command, surroundings)
        });
        started.map_err(|source| NotStarted { command: program.to_string_lossy().into_owned(), source })
    }

    fn spawn(mut command: Command, surroundings: &Surroundings<'_>) -> io::Result<Self> {
        let Handed { open, secret, removed } = surroundings.handed;
        for name in removed {
            command.env_remove(name);
        }
        command.env("CLOUDANIX_GRANT_ID", surroundings.grant);
        for (name, value) in open {
            command.env(name, value);
        }
        for (name, secret) in secret {
            command.env(name, secret.reveal());
        }
        #[cfg(unix)]
        let group = super::terminal::group_for_step();
        #[cfg(unix)]
        if group == super::terminal::Group::Own {
            command.process_group(0);
        }
        let outputs = surroundings.output.connect(&mut command)?;
        let child = command.spawn()?;
        // Our copies of the pipes' write ends are in it: without this the outputs would never end.
        drop(command);
        Ok(Self {
            #[cfg(unix)]
            group,
            #[cfg(unix)]
            pid: child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())),
            outputs: Outputs::start(outputs),
            child,
        })
    }

    /// Its end. Safe to be dropped while it waits.
    pub(crate) async fn ended(&mut self) -> io::Result<Ended> {
        self.child.wait().await.map(ended)
    }

    /// Passes on what the step wrote last and waits until that is done; not for its descendants that keep
    /// an output open and say nothing.
    pub(crate) async fn drain(&mut self) {
        self.outputs.drain().await;
    }
}

#[cfg(unix)]
impl Step {
    /// Passes a signal on: to the step's whole group if that is its own, else to the step. Not after its end.
    pub(crate) fn tell(&self, received: super::signals::Received) {
        use super::terminal::Group;
        let (Some(pid), Some(signal)) = (self.pid, rustix::process::Signal::from_named_raw(received.signal))
        else {
            return;
        };
        // An error means that nobody is there any more to be told.
        let _ = match self.group {
            Group::Own => rustix::process::kill_process_group(pid, signal),
            Group::Shared => rustix::process::kill_process(pid, signal),
        };
    }

    /// Whether the step has got this one from the terminal, and decides what it means.
    pub(crate) fn decides_on(&self, received: super::signals::Received) -> bool {
        self.group == super::terminal::Group::Shared && received.is_typed()
    }

    /// When a terminal's step stops alone (a shell's `suspend`), stops us too, so that our shell gets its
    /// prompt; whenever we are continued, continues the step. Never returns.
    pub(crate) async fn follow_stops(job: Job) {
        use super::terminal;
        use tokio::signal::unix::{SignalKind, signal};
        let Some(step) = job.0 else { return std::future::pending().await };
        let continuations = signal(SignalKind::from_raw(signal_hook::consts::SIGCONT));
        let (Ok(mut changes), Ok(mut continued)) = (signal(SignalKind::child()), continuations) else {
            return std::future::pending().await;
        };
        // A stop between the step's start and the subscription is not reported: look once without a report.
        let mut unseen = true;
        loop {
            if !unseen {
                tokio::select! {
                    biased;
                    _ = continued.recv() => {
                        terminal::go_on(step);
                        continue;
                    }
                    _ = changes.recv() => {}
                }
            }
            unseen = false;
            // The shell may be stopping or continuing both of us at this very moment.
            tokio::select! {
                biased;
                _ = continued.recv() => terminal::go_on(step),
                () = tokio::time::sleep(SETTLED) => {
                    if terminal::is_stopped(step) {
                        terminal::stop_ourselves();
                    }
                }
            }
        }
    }

    /// What [`Self::follow_stops`] watches.
    pub(crate) fn job(&self) -> Job {
        Job(self.pid.filter(|_| self.group == super::terminal::Group::Shared))
    }
}

/// A step that a terminal's shell may stop and continue.
#[cfg(unix)]
#[derive(Clone, Copy)]
pub(crate) struct Job(Option<rustix::process::Pid>);

#[cfg(unix)]
fn ended(status: ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Killed(signal),
        (None, None) => Ended::Exited(1),
    }
}

/// The console tells every process that is attached to it; there is nothing to pass on and no job control.
#[cfg(windows)]
impl Step {
    /// The step got it from the console.
    pub(crate) fn tell(&self, _received: super::signals::Received) {}

    /// Never: a console cannot be told from a platform that cancels, so the grant is given back.
    pub(crate) fn decides_on(&self, _received: super::signals::Received) -> bool {
        false
    }

    /// Never returns.
    pub(crate) async fn follow_stops(_job: Job) {
        std::future::pending().await
    }

    /// Nothing.
    pub(crate) fn job(&self) -> Job {
        Job
    }
}

/// There is no job control here.
#[cfg(windows)]
#[derive(Clone, Copy)]
pub(crate) struct Job;

#[cfg(windows)]
fn ended(status: ExitStatus) -> Ended {
    Ended::Exited(status.code().unwrap_or(1))
}
