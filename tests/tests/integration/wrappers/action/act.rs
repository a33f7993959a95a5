//! Runs whole workflows with `act`, an independent runner.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use system_tests::folder::Folder;
use system_tests::programs;
use system_tests::waiting::eventually_within;
use system_tests::wrappers::{node, python_program};

use super::hub::{AGENT, Hub};
use super::step::action;

/// A repository with one workflow and with the action in its folder `action`.
pub(crate) struct Repository {
    folder: Folder,
}

/// A running workflow.
pub(crate) struct Run {
    process: Child,
    log: PathBuf,
}

/// The input with the auth token, which every elevating step has.
pub(crate) const WHO: &str = "auth-token: ${{ secrets.CLOUDANIX_AUTH_TOKEN }}";

impl Repository {
    /// A repository whose job has these steps.
    pub(crate) fn with(steps: &str) -> Self {
        let repository = Self { folder: Folder::new() };
        let steps = steps.replace("$WHO", WHO);
        repository.file(
            ".github/workflows/deploy.yml",
            &format!(
                "on: push\npermissions: {{}}\njobs:\n  deploy:\n    runs-on: ubuntu-latest\n    permissions:\n      \
                 id-token: write\n    steps:\n      - uses: actions/checkout@v4\n{steps}"
            ),
        );
        copy(&action(), &repository.folder.path().join("repository/action"));
        repository
    }

    /// Adds a file.
    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.folder.path().join("repository").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A path outside the repository for the steps to write to.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the repository.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the workflow as a push does.
    pub(crate) fn push(&self, hub: &Hub) -> Run {
        let folder = self.folder.path().join("repository");
        for arguments in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "all"]] {
            let who = ["-c", "user.name=octocat", "-c", "user.email=octocat@example.com"];
            let done = Command::new("git").args(who).args(arguments).current_dir(&folder).status().unwrap();
            assert!(done.success());
        }
        // The leak scan covers the repository's folder, so the secrets are elsewhere.
        let secrets = tempfile::NamedTempFile::new().unwrap();
        fs::write(secrets.path(), format!("CLOUDANIX_AUTH_TOKEN={}\n", hub.auth_token)).unwrap();
        let log = self.folder.path().join("log");
        let output = File::create(&log).unwrap();
        let path = format!("{}:{}", node().parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(python_program("act"));
        command.args(["push", "-P", "ubuntu-latest=-self-hosted", "--container-daemon-socket", "-"]);
        command.arg("--secret-file").arg(secrets.path()).current_dir(&folder);
        let set = hub.identity().into_iter().chain([
            ("CLOUDANIX_JIT_BINARY", programs::client().display().to_string()),
            ("CLOUDANIX_URL", hub.broker.url().to_owned()),
            ("CLOUDANIX_AGENT_ID", AGENT.to_owned()),
            ("OUTSIDE", self.folder.path().display().to_string()),
        ]);
        for (name, value) in set {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.env_clear().env("PATH", path).env("HOME", self.folder.path());
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let process = command.process_group(0).spawn().unwrap();
        let run = Run { process, log };
        // `act` has read the secrets once it prints its first step.
        eventually_within(std::time::Duration::from_secs(30), "the first step", || {
            (run.log().contains("Run ") || run.log().contains("rror")).then_some(())
        });
        run
    }
}

impl Run {
    pub(crate) fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for the end. Returns whether the job succeeded, and the log.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (bool, String) {
        let patience = std::time::Duration::from_secs(60);
        let status = eventually_within(patience, "the end of act", || self.process.try_wait().unwrap());
        (status.success(), self.log())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
