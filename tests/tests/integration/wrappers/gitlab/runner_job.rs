//! Starts a job's scripts as GitLab Runner does.
//!
//! The runner writes one script for `before_script` and `script` and one for `after_script`. A shell in its own process
//! group evaluates each at the end of a pipe (`shells/bash.go` and `executors/shell` of GitLab Runner).

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use system_tests::fixture::Fixture;
use system_tests::folder::Folder;
use system_tests::waiting::eventually;
use system_tests::{onlooker, programs};

/// A job that a runner has accepted.
pub(crate) struct Job<'a> {
    definition: &'a Value,
    shell: &'static str,
    around: Folder,
    variables: Vec<(String, String)>,
}

/// A running script of a job.
pub(crate) struct Working {
    process: Child,
    log: PathBuf,
}

impl<'a> Job<'a> {
    pub(crate) fn taken(
        definition: &'a Value,
        shell: &'static str,
        fixture: &Fixture,
        more: &[(&str, &str)],
    ) -> Self {
        let around = Folder::new();
        let project = around.path().join("project");
        fs::create_dir(&project).unwrap();
        let project = project.display().to_string();
        let mut variables: Vec<(String, String)> = [
            ("CI", "true"),
            ("GITLAB_CI", "true"),
            ("CI_JOB_ID", "4711"),
            ("CI_PROJECT_DIR", &project),
            ("CLOUDANIX_URL", fixture.broker.url()),
            ("CLOUDANIX_AGENT_ID", &fixture.agent.id),
            ("CLOUDANIX_AUTH_TOKEN", &fixture.agent.auth_token),
            ("CLOUDANIX_ID_TOKEN", &fixture.oidc_token()),
            ("CLOUDANIX_JIT_BINARY", &programs::client().display().to_string()),
        ]
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        let of_job = definition["variables"].as_object().into_iter().flatten();
        for (name, value) in of_job {
            let value =
                value.as_str().unwrap().replace("$CI_PROJECT_DIR", &project).replace("$CI_JOB_ID", "4711");
            // A variable of the project overrides the job's own.
            if !variables.iter().any(|(known, _)| known == name) {
                variables.push((name.clone(), value));
            }
        }
        Self { definition, shell, around, variables }
    }

    /// Sets a variable for scripts that start later.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.variables.iter().find(|(known, _)| known == name).unwrap().1
    }

    /// Starts `before_script` and `script`.
    pub(crate) fn start(&self) -> Working {
        let script = self.written(&["before_script", "script"]);
        self.start_with(self.command(), &script)
    }

    /// Starts the same scripts as the `shell` executor: the script sets the variables, and no process starts with them.
    pub(crate) fn start_in_shell_executor(&self) -> Working {
        let exports = self.variables.iter().map(|(name, value)| format!("export {name}='{value}'\n"));
        let script = exports.collect::<String>() + &self.written(&["before_script", "script"]);
        let mut command = self.command();
        for (name, _) in &self.variables {
            command.env_remove(name);
        }
        self.start_with(command, &script)
    }

    fn start_with(&self, mut command: Command, script: &str) -> Working {
        let log = self.around.path().join("log");
        let output = File::create(&log).unwrap();
        command.stdout(output.try_clone().unwrap()).stderr(output).stdin(Stdio::piped());
        let mut process = command.spawn().unwrap();
        process.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        Working { process, log }
    }

    /// Runs `after_script` after a job with this status.
    pub(crate) fn after_script(&self, status: &str) -> Output {
        let mut command = self.command();
        command
            .env("CI_JOB_STATUS", status)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        process.stdin.take().unwrap().write_all(self.written(&["after_script"]).as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    }

    /// Waits for a whole line in a file of the checkout.
    #[track_caller]
    pub(crate) fn line_in(&self, file: &str, working: &Working) -> String {
        let path = self.around.path().join("project").join(file);
        eventually(&format!("a line in `{file}`: {}", working.printed()), || {
            Some(fs::read_to_string(&path).ok()?.strip_suffix('\n')?.to_owned())
        })
    }

    /// The path of a file in the checkout.
    pub(crate) fn in_project(&self, file: &str) -> PathBuf {
        self.around.path().join("project").join(file)
    }

    fn command(&self) -> Command {
        let mut words = self.shell.split(' ');
        let mut command = onlooker::through_launcher(words.next().unwrap());
        command.args(words);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command
            .env("TMPDIR", self.around.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.around.path().join("project")).process_group(0);
        command
    }

    fn written(&self, parts: &[&str]) -> String {
        let items = parts.iter().filter_map(|part| self.definition[part].as_array()).flatten();
        let script: String = items.map(|item| item.as_str().unwrap().to_owned() + "\n").collect();
        format!(
            "trap exit 1 TERM\n\n\
             if set -o | grep pipefail > /dev/null; then set -o pipefail; fi; set -o errexit\n\
             set +o noclobber\n\
             : | eval '{}'\n\
             exit 0\n",
            script.replace('\'', r"'\''")
        )
    }
}

impl Working {
    /// The process id of the shell, which leads its process group.
    pub(crate) fn entry(&self) -> i32 {
        self.process.id().cast_signed()
    }

    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the end of the script", || self.process.try_wait().unwrap())
    }
}
