//! The machine of a job: its own home, workspace and programs, and none of the test's environment.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use system_tests::leak_scan::LeakScan;
use system_tests::runner::{Recipients, kill_the_machine, recipients};
use system_tests::waiting::eventually;
use system_tests::{onlooker, programs};

/// The machine of one job.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
    aside: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

/// One step of a job, in its own process group.
pub(crate) struct Step {
    /// The process that the runner started.
    pub(crate) pid: i32,
    ended: Receiver<ExitStatus>,
    output: PathBuf,
}

impl Machine {
    /// A machine with a `PATH`, a home and the client in `CLOUDANIX_JIT_BINARY` only.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "workspace", "bin", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        let environment = BTreeMap::from([
            ("PATH".to_owned(), format!("{}:/usr/bin:/bin", at("bin"))),
            ("HOME".to_owned(), at("home")),
            ("TMPDIR".to_owned(), at("tmp")),
            ("CI".to_owned(), "true".to_owned()),
            ("CLOUDANIX_JIT_BINARY".to_owned(), programs::client().display().to_string()),
        ]);
        Self { folder, aside: tempfile::tempdir().unwrap(), environment }
    }

    /// Sets a variable for all steps.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    /// The value of a variable of all steps.
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// Adds a program to the `PATH`.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = self.folder.path().join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A path in the machine's folder, which contains `home`, `workspace`, `bin` and `tmp`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file outside the machine and the leak scan, for the platform or the test.
    pub(crate) fn aside(&self, name: &str) -> String {
        self.aside.path().join(name).display().to_string()
    }

    /// Starts a step in the workspace; its output goes into one file.
    #[track_caller]
    pub(crate) fn start(&self, name: &str, line: &[&str], environment: &BTreeMap<String, String>) -> Step {
        let output = self.path(&format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&output).unwrap();
        self.start_into(file, output, line, environment)
    }

    fn start_into(
        &self,
        file: File,
        output: PathBuf,
        line: &[&str],
        environment: &BTreeMap<String, String>,
    ) -> Step {
        let (program, arguments) = line.split_first().unwrap();
        let mut child = onlooker::through_launcher(program)
            .args(arguments)
            .current_dir(self.path("workspace"))
            .env_clear()
            .envs(&self.environment)
            .envs(environment)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let pid = child.id().cast_signed();
        let (tell, ended) = channel();
        // Collects the exit status at once, as a runner does.
        std::thread::spawn(move || tell.send(child.wait().unwrap()));
        Step { pid, ended, output }
    }

    /// The output of every step so far.
    pub(crate) fn logs(&self) -> String {
        let mut logs = String::new();
        for path in super::yaml::files(self.folder.path(), "log") {
            logs.push_str(&fs::read_to_string(path).unwrap());
        }
        logs
    }

    /// Removes the lines that Azure DevOps' agent processes: it masks the values in them and hides the lines.
    pub(crate) fn read_by_azure_devops(&self) {
        for path in super::yaml::files(self.folder.path(), "log") {
            let log = fs::read_to_string(&path).unwrap();
            let lines = log.lines().filter(|line| !line.starts_with("##vso[task.setsecret]"));
            fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
        }
    }

    /// Adds every file of the machine to a scan.
    pub(crate) fn scan(&self, scan: &mut LeakScan) {
        remove_links(self.folder.path());
        scan.folder("the machine", self.folder.path());
    }

    /// Waits for a whole line in a file of the workspace.
    #[track_caller]
    pub(crate) fn line_in(&self, file: &str) -> String {
        let path = self.path("workspace").join(file);
        eventually(&format!("a line in `{file}`: {}", self.logs()), || {
            fs::read_to_string(&path)
                .ok()
                .filter(|text| text.ends_with('\n'))
                .map(|text| text.trim().to_owned())
        })
    }
}

impl Step {
    /// Waits for the end of the step and returns its exit code.
    #[track_caller]
    pub(crate) fn finish(self) -> Option<i32> {
        let ended = self.ended.recv_timeout(Duration::from_secs(60));
        ended.unwrap_or_else(|_| panic!("the step does not end: {}", text_of(&self.output))).code()
    }
}

/// Leaves no process of a failed test running; a keeper ends by itself without its client.
impl Drop for Machine {
    fn drop(&mut self) {
        for pid in recipients(0, &Recipients::Marked(format!("HOME={}", self.variable("HOME")))) {
            let _ = Command::new("kill").args(["-s", "KILL", "--", &pid.to_string()]).status();
        }
    }
}

/// Kills all processes of these steps at once.
pub(crate) fn end_of_container<'a>(steps: impl IntoIterator<Item = &'a Step>) {
    let entries: Vec<i32> = steps.into_iter().map(|step| step.pid).collect();
    kill_the_machine(&entries);
}

/// Removes the links, which lead to the client: its megabytes hold no secret of this run.
fn remove_links(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            fs::remove_file(entry.path()).unwrap();
        } else if kind.is_dir() {
            remove_links(&entry.path());
        }
    }
}

fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
