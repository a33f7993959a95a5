//! The step's process: its start, signals, job control, and end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::ExitStatus;

use protocol::RevokeCause;
use tokio::process::{Child, Command};

use super::output::{Outputs, StepOutput};
use crate::exit::Exit;
use crate::step_env::StepEnv;

/// After this long a stop of the step was not part of a stop of the whole process group by the terminal.
#[cfg(unix)]
const SETTLED: std::time::Duration = std::time::Duration::from_millis(20);

const SIGTERM: i32 = 15;

/// What the step gets beyond this process' own environment and streams.
pub(crate) struct StepContext<'a> {
    /// The variables that are set and removed.
    pub(crate) step_env: &'a StepEnv,
    /// The search path of commands without a folder.
    #[cfg(unix)]
    pub(crate) path: Option<&'a str>,
    /// The destination of its output.
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
    /// The exit code: 127 if the command was not found, else 126, as a shell's.
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
    /// It exited with this code.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// It still runs: it ignored SIGTERM after the parent process ended.
    Abandoned,
}

impl Ended {
    /// The exit code of `run`: the step's, or 128+n.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => 128 + signal,
            Self::Abandoned => 128 + SIGTERM,
        }
    }

    /// The cause for the broker.
    pub(crate) fn cause(self) -> RevokeCause {
        match self {
            Self::Exited(code) => RevokeCause::StepExited(code),
            Self::Killed(signal) => RevokeCause::StepKilled(signal),
            Self::Abandoned => RevokeCause::ParentEnded,
        }
    }
}

impl Step {
    /// Starts `command` (the program and its arguments). Standard input is inherited, and so is the output
    /// unless it is redacted.
    pub(crate) fn start(command: &[OsString], context: &StepContext<'_>) -> Result<Self, NotStarted> {
        let (program, arguments) = match command {
            [program, arguments @ ..] => (program.as_os_str(), arguments),
            [] => (OsStr::new(""), [].as_slice()),
        };
        let mut command = Command::new(program);
        command.args(arguments);
        let started = Self::spawn(command, context);
        #[cfg(unix)]
        let started = started.or_else(|error| {
            use super::shell::{SHELL, is_absent, without_interpreter};
            if is_absent(&error, program, context.path) {
                return Err(rustix::io::Errno::NOENT.into());
            }
            let script = without_interpreter(&error, program, context.path).ok_or(error)?;
            let mut command = Command::new(SHELL);
            command.arg(script).args(arguments);
            Self::spawn(command, context)
        });
        started.map_err(|source| NotStarted { command: program.to_string_lossy().into_owned(), source })
    }

    fn spawn(mut command: Command, context: &StepContext<'_>) -> io::Result<Self> {
        let StepEnv { open, secret, removed } = context.step_env;
        for name in removed {
            command.env_remove(name);
        }
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
        let outputs = context.output.connect(&mut command)?;
        let child = command.spawn()?;
        // It owns copies of the pipes' write ends: without this the outputs would never end.
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

    /// Waits for the end of the step. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> io::Result<Ended> {
        self.child.wait().await.map(ended)
    }

    /// Forwards the step's last output, and does not wait for descendants that keep an output open and write nothing.
    pub(crate) async fn drain(&mut self) {
        self.outputs.drain().await;
    }
}

#[cfg(unix)]
impl Step {
    /// Forwards a signal to the step's process group if it has its own, else to the step. Does nothing after its end.
    pub(crate) fn forward(&self, received: super::signals::Received) {
        use super::terminal::Group;
        let (Some(pid), Some(signal)) = (self.pid, rustix::process::Signal::from_named_raw(received.signal))
        else {
            return;
        };
        // An error means that the process has ended.
        let _ = match self.group {
            Group::Own => rustix::process::kill_process_group(pid, signal),
            Group::Shared => rustix::process::kill_process(pid, signal),
        };
    }

    /// Whether the terminal sent the signal to the step too, which then decides what it means.
    pub(crate) fn decides_on(&self, received: super::signals::Received) -> bool {
        self.group == super::terminal::Group::Shared && received.is_typed()
    }

    /// Stops this process when a terminal's step stops alone (a shell's `suspend`), so that the user's shell shows its
    /// prompt, and continues the step when this process is continued. Never returns.
    pub(crate) async fn follow_stops(job: Job) {
        use super::terminal;
        use tokio::signal::unix::{SignalKind, signal};
        let Some(step) = job.0 else { return std::future::pending().await };
        let continuations = signal(SignalKind::from_raw(signal_hook::consts::SIGCONT));
        let (Ok(mut changes), Ok(mut continued)) = (signal(SignalKind::child()), continuations) else {
            return std::future::pending().await;
        };
        // A stop between the step's start and the subscription is not reported: check once without a report.
        let mut unchecked = true;
        loop {
            if !unchecked {
                tokio::select! {
                    biased;
                    _ = continued.recv() => {
                        terminal::resume(step);
                        continue;
                    }
                    _ = changes.recv() => {}
                }
            }
            unchecked = false;
            // The shell may be stopping or continuing both processes at this moment.
            tokio::select! {
                biased;
                _ = continued.recv() => terminal::resume(step),
                () = tokio::time::sleep(SETTLED) => {
                    if terminal::is_stopped(step) {
                        terminal::stop_this_process();
                    }
                }
            }
        }
    }

    /// The process that [`Self::follow_stops`] watches.
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

/// The console signals every process that is attached to it: there is nothing to forward and no job control.
#[cfg(windows)]
impl Step {
    /// Does nothing: the console has signalled the step.
    pub(crate) fn forward(&self, _received: super::signals::Received) {}

    /// Never: a Ctrl-C of the console looks like a platform's cancellation, so the grant is revoked.
    pub(crate) fn decides_on(&self, _received: super::signals::Received) -> bool {
        false
    }

    /// Never returns.
    pub(crate) async fn follow_stops(_job: Job) {
        std::future::pending().await
    }

    /// A placeholder.
    pub(crate) fn job(&self) -> Job {
        Job
    }
}

/// Windows has no job control.
#[cfg(windows)]
#[derive(Clone, Copy)]
pub(crate) struct Job;

#[cfg(windows)]
fn ended(status: ExitStatus) -> Ended {
    Ended::Exited(status.code().unwrap_or(1))
}
