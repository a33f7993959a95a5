//! How is a broker started that is measured, and started again on what it left?

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::certificates::Certificates;
use super::{AGENT, POLICY, Server, bare_client};
use crate::connection::Connection;
use crate::programs::Programs;

/// Where a broker keeps its grants.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    /// SQLite.
    File(PathBuf),
    /// PostgreSQL.
    Server {
        /// Without the password.
        url: String,
        /// For every user.
        password: String,
    },
}

/// A broker with an agent in it.
pub(crate) struct Broker {
    pub(crate) url: String,
    pub(crate) port: u16,
    pub(crate) database: Database,
    pub(crate) auth_token: String,
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    server: Option<Server>,
}

/// What it takes to start one for the first time.
pub(super) struct Start<'a> {
    pub(super) programs: &'a Programs,
    pub(super) folder: &'a Path,
    pub(super) issuer: &'a str,
    pub(super) name: &'a str,
    pub(super) certificates: Option<&'a Certificates>,
    pub(super) database: Database,
}

impl Start<'_> {
    pub(super) fn start(self) -> Result<Broker> {
        let Self { programs, folder, issuer, name, certificates, database } = self;
        let (operator_token, hash) = operator_token(programs)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let file = |what: &str| folder.join(format!("{name}{what}"));
        let tls = certificates.map_or_else(String::new, |made| {
            format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", made.chain.display(), made.key.display())
        });
        let (at, postgres) = match &database {
            Database::File(path) => (format!("sqlite:{}", path.display()), String::new()),
            Database::Server { url, password } => {
                let password_file = file("-password");
                fs::write(&password_file, password)?;
                let password_file = password_file.display();
                let postgres =
                    format!("[postgres]\npassword_file = \"{password_file}\"\nauto_migrate = true\n");
                (url.clone(), postgres)
            }
        };
        let config = file(".toml");
        fs::write(
            &config,
            format!(
                "listen = \"127.0.0.1:{port}\"\nurl = \"{url}\"\ndatabase = \"{at}\"\n\
                 operators.bench.sha256 = \"{hash}\"\n{tls}{postgres}[limits]\n\
                 elevations_per_minute = 100000000\nrequests_per_minute_per_address = 100000000\n"
            ),
        )?;
        let (log, program) = (file(".log"), programs.broker.clone());
        let auth_token = String::new();
        let mut broker = Broker { url, port, database, auth_token, program, config, log, server: None };
        broker.spawn()?;
        let registration = file("-agent.toml");
        fs::write(&registration, self::registration(issuer))?;
        let registration = registration.display().to_string();
        let arguments = ["agent", "apply", "-f", &registration, "--output", "json"];
        // Waits for the broker by itself.
        let ca = certificates.map(|made| made.ca.as_path());
        let applied = bare_client(programs, folder, &broker.url, ca, &arguments)
            .env("CLOUDANIX_OPERATOR_TOKEN", operator_token)
            .output()?;
        ensure!(
            applied.status.success(),
            "no agent: {}; the broker's log: {}",
            String::from_utf8_lossy(&applied.stderr),
            broker.log()
        );
        let applied: Value = serde_json::from_slice(&applied.stdout)?;
        let auth_token = applied.get("auth_token").and_then(Value::as_str).context("an auth token")?;
        broker.auth_token = auth_token.to_owned();
        Ok(broker)
    }
}

impl Broker {
    pub(crate) fn pid(&self) -> Result<u32> {
        Ok(self.server.as_ref().context("a running broker")?.0.id())
    }

    /// `kill -9`.
    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    /// Starts it on what it left. How long it took until it was ready.
    pub(crate) fn start_again(&mut self) -> Result<Duration> {
        self.stop();
        let begin = Instant::now();
        self.spawn()?;
        loop {
            let ready = Connection::open(self.port)
                .and_then(|mut connection| connection.ask("GET /readyz HTTP/1.1\r\n", "", "200").map(drop));
            if ready.is_ok() {
                return Ok(begin.elapsed());
            }
            if begin.elapsed() > Duration::from_secs(60) {
                bail!("the broker is not ready after a minute: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn spawn(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config"]).arg(&self.config);
        self.server = Some(Server::start(&mut command, &self.log)?);
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn operator_token(programs: &Programs) -> Result<(String, String)> {
    let output =
        Command::new(&programs.broker).args(["operator-token", "--name", "bench"]).env_clear().output()?;
    let text = String::from_utf8(output.stdout)?;
    let word = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|word| word.trim().trim_matches('"').to_owned())
            .with_context(|| format!("no {name} in what `operator-token` printed"))
    };
    Ok((word("token ")?, word("sha256 = ")?))
}

fn registration(issuer: &str) -> String {
    format!(
        r#"id = "{AGENT}"
use_case = "build-workflow"
max_session = "1h"

[[trust]]
issuer = "{issuer}"
platform = "gitlab"
audience = "cloudanix-jit"
claims = {{ project_id = "1", ref = "main" }}

[boundary]
target = "token"
policies = {{ "{POLICY}" = "orders:read" }}
"#
    )
}
