//! Runs a step as GitHub's runner does: one Node process for each half of the action.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use system_tests::folder::Folder;
use system_tests::onlooker::through_launcher;
use system_tests::programs;
use system_tests::waiting::eventually;
use system_tests::wrappers::{node, root};

use super::hub::{AGENT, Hub};

/// A step with the environment of its job.
pub(crate) struct Step {
    pub(crate) folder: Folder,
    variables: BTreeMap<String, String>,
}

/// A running half of a step.
pub(crate) struct Running {
    pub(crate) process: Child,
    folder: PathBuf,
    half: String,
}

/// A finished half of a step.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The files through which a step writes to the runner.
const FILES: [&str; 4] = ["GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_ENV", "GITHUB_STEP_SUMMARY"];

impl Step {
    /// A step in a job with an identity, on a machine that has the client.
    pub(crate) fn of(hub: &Hub) -> Self {
        let folder = Folder::new();
        for name in ["temp", "workspace", "home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let step = Self { folder, variables: BTreeMap::new() };
        let place = |name: &str| step.folder.path().join(name).display().to_string();
        let path = std::env::var("PATH").unwrap();
        let files: Vec<(&str, String)> = FILES.iter().map(|name| (*name, place(name))).collect();
        for (_, file) in &files {
            File::create(file).unwrap();
        }
        let facts = [
            ("PATH", path),
            ("HOME", place("home")),
            ("RUNNER_TEMP", place("temp")),
            ("GITHUB_WORKSPACE", place("workspace")),
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_EVENT_NAME", "push".to_owned()),
            ("CI", "true".to_owned()),
        ];
        let step =
            facts.into_iter().chain(files).fold(step, |step, (name, value)| step.variable(name, &value));
        let step = hub.identity().into_iter().fold(step, |step, (name, value)| step.variable(name, &value));
        step.input("policy", "orders-read")
            .input("ttl", "15m")
            .input("url", hub.broker.url())
            .input("agent-id", AGENT)
            .input("auth-token", &hub.auth_token)
            .input("binary", &programs::client().display().to_string())
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    pub(crate) fn input(self, name: &str, value: &str) -> Self {
        self.variable(&format!("INPUT_{}", name.to_uppercase()), value)
    }

    /// A file in the workspace.
    pub(crate) fn in_workspace(&self, name: &str) -> PathBuf {
        self.folder.path().join("workspace").join(name)
    }

    /// The content of one of the runner's files.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The entries that the runner reads from one of its files.
    pub(crate) fn entries(&self, name: &str) -> BTreeMap<String, String> {
        entries(&self.file(name))
    }

    pub(crate) fn output(&self, name: &str) -> String {
        self.entries("GITHUB_OUTPUT").remove(name).unwrap_or_default()
    }

    /// The files left in the job's temporary folder.
    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("temp")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Starts `main.js` or `post.js` with the state that an earlier half has saved.
    pub(crate) fn start(&self, script: &str) -> Running {
        let half = script.replace('/', "-");
        let folder = self.folder.path();
        let output = |kind: &str| File::create(folder.join(format!("{half}.{kind}"))).unwrap();
        let saved = self.entries("GITHUB_STATE");
        let mut command = through_launcher(node());
        command.arg(action().join(script)).current_dir(folder.join("workspace"));
        command.env_clear().envs(&self.variables);
        command.envs(saved.iter().map(|(name, value)| (format!("STATE_{name}"), value)));
        // Files instead of pipes, so that a process that outlives the step blocks no reader.
        command.stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr"));
        let process = command.process_group(0).spawn().unwrap();
        Running { process, folder: folder.to_owned(), half }
    }

    /// Runs a half to its end.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Ended {
        self.start(script).finish()
    }
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    #[track_caller]
    pub(crate) fn finish(mut self) -> Ended {
        let status = eventually("the end of a half", || self.process.try_wait().unwrap());
        let read = |kind: &str| {
            let bytes = fs::read(self.folder.join(format!("{}.{kind}", self.half))).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Ended { code: status.code(), stdout: read("stdout"), stderr: read("stderr") }
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The annotations of this level.
    pub(crate) fn annotations(&self, level: &str) -> Vec<&str> {
        let start = format!("::{level} title=cloudanix-jit::");
        self.stdout.lines().filter_map(|line| line.strip_prefix(start.as_str())).collect()
    }
}

/// The action's folder.
pub(crate) fn action() -> PathBuf {
    root().join("action")
}

/// Parses a file in the form `name<<end`, value, `end`.
fn entries(text: &str) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (name, end) = line.split_once("<<").unwrap_or_else(|| panic!("`{line}` in {text}"));
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        entries.insert(name.to_owned(), value.join("\n"));
    }
    entries
}

/// Waits for a whole line in a file.
#[track_caller]
pub(crate) fn line_in(file: &Path) -> String {
    eventually(&format!("a line in {}", file.display()), || {
        let text = fs::read_to_string(file).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    })
}
