//! A broker with a configuration of its own, for the demos.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client_gate::target_folder;
use crate::demo::{Running, like_a_machine_that_is_no_ci};
use crate::demo_account::{answers, scrubbed};
use crate::process::{program, text};

/// A port on which a broker can listen.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A running broker, and clients for it. Dropping it stops the broker and removes its files.
pub(crate) struct Broker {
    pub(crate) process: Running,
    pub(crate) folder: Folder,
    url: String,
    operator_token: String,
    programs: PathBuf,
}

/// A registered agent.
pub(crate) struct Agent {
    pub(crate) id: String,
    auth_token: String,
}

impl Broker {
    /// Starts a broker with these settings beside the ones that every broker has, and these variables.
    pub(crate) fn start(
        port: u16,
        folder: Folder,
        settings: &str,
        variables: &[(&str, String)],
    ) -> Result<Self> {
        let programs = target_folder()?.join("debug");
        let url = format!("http://127.0.0.1:{port}");
        let mut making = program(programs.join("cloudanix-jit-broker"));
        let made = String::from_utf8(making.args(["operator-token", "--name", "demo"]).output()?.stdout)?;
        let line = |name: &str| {
            let found = made.lines().find_map(|line| line.strip_prefix(name));
            found
                .map(|rest| rest.trim().trim_matches('"').to_owned())
                .context("`operator-token` says something else")
        };
        let (operator_token, hash) = (line("token ")?, line("sha256 = ")?);
        let config = folder.0.join("broker.toml");
        let database = folder.0.join("broker.db");
        let settings = format!(
            "listen = \"127.0.0.1:{port}\"\nurl = \"{url}\"\ndatabase = \"sqlite:{}\"\n\
             operators.demo.sha256 = \"{hash}\"\n{settings}",
            database.display()
        );
        std::fs::write(&config, settings)?;
        let log = std::fs::File::create(folder.0.join("broker.log"))?;
        let mut broker = scrubbed(program(programs.join("cloudanix-jit-broker")));
        broker.args(["serve", "--config"]).arg(config).envs(variables.iter().cloned());
        broker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = Running(broker.spawn().context("cannot start the broker")?);
        let mut broker = Self { process, folder, url, operator_token, programs };
        broker.wait_until_ready(port)?;
        Ok(broker)
    }

    fn wait_until_ready(&mut self, port: u16) -> Result<()> {
        let patience = Instant::now() + Duration::from_secs(30);
        while !answers(port, "/readyz") {
            if let Some(status) = self.process.0.try_wait()? {
                let log = std::fs::read_to_string(self.folder.0.join("broker.log"))?;
                bail!("the broker ended with {status}: {log}");
            }
            ensure!(Instant::now() < patience, "the broker was not ready after 30 s");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Registers an agent.
    pub(crate) fn register(&self, id: &str, registration: &str) -> Result<Agent> {
        let file = self.folder.0.join(format!("{id}.toml"));
        std::fs::write(&file, registration)?;
        let mut apply = self.operator(&["agent", "apply", "--output", "json", "-f"]);
        let applied: serde_json::Value = serde_json::from_str(&text(apply.arg(file))?)?;
        let auth_token = applied.get("auth_token").and_then(serde_json::Value::as_str);
        let auth_token = auth_token.context("the agent got no auth token")?.to_owned();
        Ok(Agent { id: id.to_owned(), auth_token })
    }

    /// The client as an operator.
    pub(crate) fn operator(&self, words: &[&str]) -> Command {
        let mut command = self.client(words);
        command.env("CLOUDANIX_OPERATOR_TOKEN", &self.operator_token);
        command
    }

    /// The client as an agent.
    pub(crate) fn agent(&self, agent: &Agent, words: &[&str]) -> Command {
        let mut command = self.client(words);
        command.env("CLOUDANIX_AGENT_ID", &agent.id).env("CLOUDANIX_AUTH_TOKEN", &agent.auth_token);
        command
    }

    /// The client without a token.
    pub(crate) fn client(&self, words: &[&str]) -> Command {
        let mut command = scrubbed(program(self.programs.join("cloudanix-jit")));
        like_a_machine_that_is_no_ci(&mut command);
        command.args(words).env("CLOUDANIX_URL", &self.url);
        command
    }
}

/// A folder that is removed on drop.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes a folder beside the programs.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let path = target_folder()?.join("debug").join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
