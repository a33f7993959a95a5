//! `cargo xtask demo`: shows a grant with the `token` target in a minute.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client_gate::target_folder;
use crate::process::{cargo, program, run};
use crate::{demo_approval, demo_aws};

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Show grants in AWS, on an emulator
    #[arg(long)]
    aws: bool,
    /// Show a step that waits for the approval of a person
    #[arg(long, conflicts_with = "aws")]
    approval: bool,
}

/// Runs `cargo xtask demo`.
pub(crate) fn run_command(arguments: &Arguments) -> Result<()> {
    match arguments {
        Arguments { aws: true, .. } => demo_aws::run_command(),
        Arguments { approval: true, .. } => demo_approval::run_command(),
        Arguments { .. } => of_tokens(),
    }
}

fn of_tokens() -> Result<()> {
    heading("Building the client, the broker and a service that accepts grants");
    run(cargo().args([
        "build",
        "--locked",
        "-p",
        "cloudanix-jit",
        "-p",
        "cloudanix-jit-broker",
        "-p",
        "orders-example",
    ]))?;
    let demo = Demo::start()?;
    println!("  a broker, a sample agent and an orders service are running on this machine");

    heading("A step without a grant");
    let refused = show(demo.orders(&["list", "--at", &demo.address]))?;
    ensure!(!refused, "the orders service answered a step that holds no grant");

    heading("The same step with a grant for just as long as it runs");
    let mut step = demo.client(&["run", "--policy", "orders-read", "--ttl", "15m", "--reason", "demo", "--"]);
    step.arg(demo.binary("orders-example")).args(["list", "--at", &demo.address]);
    let grant = show_and_find_grant(step)?;

    heading("What the broker wrote down");
    ensure!(show(demo.client(&["timeline", &grant]))?, "there is no timeline of {grant}");

    heading("What the step held is worth nothing afterwards");
    // The step saves its token, which no step should do, so that the demo can use it after the step.
    let mut leaky =
        demo.client(&["run", "--redact", "never", "--policy", "orders-read", "--ttl", "15m", "--"]);
    leaky.args(["sh", "-c", "printf %s \"$CLOUDANIX_GRANT_TOKEN\""]).stderr(Stdio::null());
    let leaked = String::from_utf8(leaky.output()?.stdout)?;
    ensure!(leaked.split('.').count() == 3, "the step got no token");
    let mut late = demo.orders(&["list", "--at", &demo.address]);
    late.env("CLOUDANIX_GRANT_TOKEN", leaked);
    ensure!(!show(late)?, "the token was accepted after its grant had been revoked");

    println!("\nThe step had a permission while it ran, and the permission is gone now.");
    Ok(())
}

pub(crate) fn heading(text: &str) {
    println!("\n── {text}");
}

/// The running programs, and clients for them. Dropping it stops the programs.
struct Demo {
    _broker: Running,
    _service: Running,
    folder: PathBuf,
    settings: Vec<(String, String)>,
    address: String,
}

/// A program that stops when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Demo {
    fn start() -> Result<Self> {
        let folder = target_folder()?.join("debug");
        let env_file = folder.join(format!("demo-{}.env", std::process::id()));
        let log = std::fs::File::create(folder.join("demo-broker.log"))?;
        let broker = program(folder.join("cloudanix-jit-broker"))
            .args(["dev", "--listen", "127.0.0.1:0", "--env-file"])
            .arg(&env_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start the broker")?;
        let mut broker = Running(broker);
        let settings = settings_of(&env_file, &mut broker.0)?;
        std::fs::remove_file(&env_file)?;
        let mut service = program(folder.join("orders-example"));
        service.arg("serve").envs(settings.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut service = Running(service.spawn().context("cannot start the orders service")?);
        let mut address = String::new();
        let stdout = service.0.stdout.take().context("the orders service has no output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        ensure!(!address.trim().is_empty(), "the orders service did not start");
        Ok(Self { _broker: broker, _service: service, folder, settings, address: address.trim().to_owned() })
    }

    fn binary(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut command = program(self.binary("cloudanix-jit"));
        like_a_machine_that_is_no_ci(&mut command);
        command.args(words).envs(self.settings.iter().cloned());
        command
    }

    fn orders(&self, words: &[&str]) -> Command {
        let mut command = program(self.binary("orders-example"));
        command.args(words);
        command
    }
}

pub(crate) fn like_a_machine_that_is_no_ci(command: &mut Command) {
    for marker in [
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        "JENKINS_URL",
        "CIRCLECI",
        "BUILDKITE",
        "TF_BUILD",
        "BITBUCKET_BUILD_NUMBER",
    ] {
        command.env_remove(marker);
    }
}

/// Prints and runs a command. The caller checks the status.
pub(crate) fn show(mut command: Command) -> Result<bool> {
    println!("{}", typed(&command));
    Ok(command.stdin(Stdio::null()).status()?.success())
}

/// Like [`show`], for a step that must succeed. Returns the grant that the client names.
pub(crate) fn show_and_find_grant(mut command: Command) -> Result<String> {
    command.stderr(Stdio::piped());
    println!("{}", typed(&command));
    let mut child = command.stdin(Stdio::null()).spawn()?;
    let mut grant = None;
    for line in BufReader::new(child.stderr.take().context("the client has no stderr")?).lines() {
        let line = line?;
        println!("{line}");
        grant = grant.or_else(|| line.split(' ').find(|word| word.starts_with("elev-")).map(str::to_owned));
    }
    ensure!(child.wait()?.success(), "the step should have been served while its grant lived");
    grant.context("the client did not name its grant")
}

/// The command as a user would type it.
pub(crate) fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(Path::new);
    let names = words.map(|word| {
        if word.is_absolute() { word.file_name().unwrap_or(word.as_os_str()) } else { word.as_os_str() }
    });
    names.fold("$".to_owned(), |line, name| line + " " + &name.to_string_lossy())
}

/// The settings that the broker writes when it is ready.
fn settings_of(file: &Path, broker: &mut Child) -> Result<Vec<(String, String)>> {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            return Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        }
        if let Some(status) = broker.try_wait()? {
            bail!("the broker ended with {status}: its log is `target/debug/demo-broker.log`");
        }
        ensure!(Instant::now() < patience, "the broker was not ready after 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
