//! Gitea's own runner in host mode: a step is a process on this machine.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use system_tests::folder::Folder;
use system_tests::programs;
use system_tests::runner::{Recipients, recipients};
use system_tests::waiting::eventually_within;
use system_tests::wrappers::node;

use super::server::{Server, built, killed_with_the_test};
use super::site::PATIENCE;

/// A running runner with its own folder. Dropping it kills the runner and every process of its jobs.
pub(crate) struct ActionsRunner {
    process: Child,
    // The last field to drop, which ends the processes of jobs that run below this folder.
    folder: Folder,
}

impl ActionsRunner {
    /// Registers a runner and starts it. Its jobs have these variables and `OUTSIDE`, a writable folder.
    pub(crate) fn start(server: &Server, registration_token: &str, variables: &[(&str, String)]) -> Self {
        let folder = Folder::new();
        let place = folder.path();
        fs::create_dir(place.join("outside")).unwrap();
        let outside = ("OUTSIDE", place.join("outside").display().to_string());
        let variables: Vec<_> = variables.iter().chain([&outside]).collect();
        fs::write(place.join("runner.yml"), configuration(place, &variables)).unwrap();
        client_that_notes_its_calls(place);
        let register = ["register", "--no-interactive", "--name", "host", "--labels", "host:host"];
        let registered = command(place)
            .args(register)
            .args(["--instance", server.url(), "--token", registration_token])
            .output()
            .unwrap();
        assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
        let log = File::create(place.join("runner.log")).unwrap();
        let mut daemon = command(place);
        daemon.arg("daemon").stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        Self { process: daemon.spawn().unwrap(), folder }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// A file that jobs know as `$OUTSIDE/<name>`.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join("outside").join(name)
    }

    /// The log of the runner.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("runner.log")).unwrap()
    }

    /// The subcommands that jobs called the client with, oldest first.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// The Node process that runs the action's main half.
    #[track_caller]
    pub(crate) fn main_half(&self) -> i32 {
        let is_main = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).trim_end_matches('\0').ends_with("main.js")
        };
        recipients(self.pid(), &Recipients::Tree).into_iter().find(is_main).unwrap()
    }

    /// Every process that belongs to a job.
    pub(crate) fn processes_of_jobs(&self) -> Vec<i32> {
        recipients(
            self.pid(),
            &Recipients::Marked(
                format!("OUTSIDE={}", self.outside("").display()).trim_end_matches('/').to_owned(),
            ),
        )
    }

    /// Waits until the runner itself has ended.
    #[track_caller]
    pub(crate) fn wait_for_its_end(&mut self) {
        eventually_within(PATIENCE, "the end of the runner", || self.process.try_wait().unwrap());
    }
}

impl Drop for ActionsRunner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(folder: &Path) -> Command {
    let system = std::env::var("PATH").unwrap();
    let node = node();
    let mut command = killed_with_the_test(built("gitea-runner"));
    command.arg("--config").arg(folder.join("runner.yml")).current_dir(folder).env_clear();
    let path = format!("{}:{}:{system}", folder.join("bin").display(), node.parent().unwrap().display());
    command.env("PATH", path).env("HOME", folder).stdin(Stdio::null());
    command
}

/// Puts a `cloudanix-jit` on the runner's PATH that records its subcommand and then executes the client.
fn client_that_notes_its_calls(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir(folder.join("bin")).unwrap();
    let program = folder.join("bin/cloudanix-jit");
    let calls = folder.join("calls");
    let client = programs::client();
    let script =
        format!("#!/bin/sh\necho \"$1\" >> '{}'\nexec '{}' \"$@\"\n", calls.display(), client.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Polls and reports every 200 ms instead of every few seconds, so that tests do not wait longer than needed.
fn configuration(folder: &Path, variables: &[&(&str, String)]) -> String {
    let envs: String = variables.iter().map(|(name, value)| format!("    {name}: \"{value}\"\n")).collect();
    format!(
        "log:\n  level: info\nrunner:\n  file: {folder}/registration\n  capacity: 2\n  envs:\n{envs}  \
         fetch_interval: 200ms\n  fetch_interval_max: 200ms\n  log_report_interval: 200ms\n  \
         log_report_max_latency: 100ms\n  state_report_interval: 200ms\n  labels: [\"host:host\"]\n\
         cache:\n  enabled: false\nhost:\n  workdir_parent: {folder}/work\n",
        folder = folder.display()
    )
}
