//! Runs a pipeline with `gitlab-ci-local` in its own repository, without a GitLab server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use system_tests::fixture::{Agent, Fixture};
use system_tests::folder::Folder;
use system_tests::programs;
use system_tests::waiting::eventually_within;
use system_tests::wrappers::{node, npm_file, python_program, root};

/// `gitlab-ci-local` first reads a schema of half a megabyte, on a machine that runs other tests too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The wrapper's folder as the repository that it is published as, with a pipeline.
pub(crate) struct Project {
    around: Folder,
}

/// A running `gitlab-ci-local`.
pub(crate) struct Running {
    process: Child,
    around: PathBuf,
}

/// The output of a finished `gitlab-ci-local`.
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Project {
    /// A project with this pipeline, or with the folder's own if there is none.
    pub(crate) fn with(pipeline: Option<&str>) -> Self {
        let around = Folder::new();
        let project = Self { around };
        let there = |command: &mut Command| {
            let done = command.current_dir(project.around.path()).env("HOME", project.around.path());
            let output = done.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        there(Command::new("cp").arg("-r").arg(root().join("gitlab")).arg("project"));
        if let Some(pipeline) = pipeline {
            fs::write(project.checkout().join(".gitlab-ci.yml"), pipeline).unwrap();
        }
        fs::create_dir(project.around.path().join("tmp")).unwrap();
        let remote = "https://gitlab.example.com/octo/my-app.git";
        for line in [
            &["init", "-q", "-b", "main"][..],
            &["config", "user.name", "Octo Cat"],
            &["config", "user.email", "octocat@example.com"],
            &["remote", "add", "origin", remote],
            &["add", "-A"],
            &["commit", "-q", "-m", "A pipeline"],
        ] {
            there(Command::new("git").arg("-C").arg(project.checkout()).args(line));
        }
        project
    }

    /// The repository's folder.
    pub(crate) fn checkout(&self) -> PathBuf {
        self.around.path().join("project")
    }

    /// The parent folder, with the repository, outputs, temporary files and the files of the jobs.
    pub(crate) fn around(&self) -> &Path {
        self.around.path()
    }

    /// Runs the whole pipeline, with jobs of this agent.
    pub(crate) fn start(&self, fixture: &Fixture, agent: &Agent, token: &str) -> Running {
        self.start_with(&[
            ("CLOUDANIX_URL", fixture.broker.url()),
            ("CLOUDANIX_AGENT_ID", &agent.id),
            ("CLOUDANIX_AUTH_TOKEN", &agent.auth_token),
            ("CLOUDANIX_ID_TOKEN", token),
            ("CLOUDANIX_JIT_BINARY", &programs::client().display().to_string()),
        ])
    }

    /// Runs the pipeline with these CI/CD variables.
    pub(crate) fn start_with(&self, variables: &[(&str, &str)]) -> Running {
        let mut command = self.gitlab_ci_local(&["--ignore-predefined-vars", "GITLAB_CI,CI_PROJECT_DIR"]);
        let checkout = self.checkout().display().to_string();
        // Variables that a real job has and `gitlab-ci-local` omits, or sets for containers.
        for (name, value) in [("GITLAB_CI", "true"), ("CI_PROJECT_DIR", &checkout)].iter().chain(variables) {
            command.env(format!("GCL_VARIABLE_{name}"), value);
        }
        let output = |name: &str| File::create(self.around().join(name)).unwrap();
        command.stdout(output("stdout")).stderr(output("stderr"));
        Running { process: command.spawn().unwrap(), around: self.around().to_owned() }
    }

    /// The pipeline after `include`, `extends` and inputs.
    pub(crate) fn preview(&self) -> Value {
        let output = self.gitlab_ci_local(&["--preview"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        yaml(&String::from_utf8(output.stdout).unwrap()).remove(0)
    }

    fn gitlab_ci_local(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(node());
        command.arg(npm_file("gitlab-ci-local/dist/index.js")).arg("--force-shell-executor").args(arguments);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", self.around()).env("TMPDIR", self.around().join("tmp"));
        command.current_dir(self.checkout()).stdin(Stdio::null());
        command
    }
}

impl Running {
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        let look = || self.process.try_wait().expect("a child of ours");
        let status = eventually_within(PATIENCE, "the end of the pipeline", look);
        let text = |name: &str| fs::read_to_string(self.around.join(name)).unwrap();
        Finished { code: status.code(), text: text("stdout") + &text("stderr") }
    }
}

impl Finished {
    /// The exit code of a job's script.
    #[track_caller]
    pub(crate) fn code_of(&self, job: &str) -> i32 {
        let finished = |line: &&str| line.split(' ').next() == Some(job) && line.contains("finished in");
        let line = self.text.lines().find(finished).unwrap_or_else(|| panic!("no `{job}`: {}", self.text));
        match line.split_once("FAIL") {
            Some((_, code)) => code.trim().parse().unwrap(),
            None => 0,
        }
    }

    /// The output of a job, without its echoed commands.
    pub(crate) fn printed_by(&self, job: &str) -> String {
        let lines = self.text.lines().filter(|line| line.split(' ').next() == Some(job));
        lines.filter_map(|line| Some(line.split_once("> ")?.1.to_owned() + "\n")).collect()
    }
}

/// The documents of a YAML file.
#[track_caller]
pub(crate) fn yaml(text: &str) -> Vec<Value> {
    let to_json =
        "import json, sys, yaml\njson.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let output =
        Command::new(python_program("python")).args(["-c", to_json]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
