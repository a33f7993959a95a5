//! Starts what the benchmarks share: an issuer, a broker with TLS, one without, and one agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::programs::Programs;

mod broker;
mod certificates;

pub(crate) use broker::{Broker, Database};

use broker::Start;
use certificates::Certificates;

/// The agent of all measurements, and the policy that it requests.
pub(crate) const AGENT: &str = "bench-agent";
pub(crate) const POLICY: &str = "orders-read";
/// The agent's label `team`.
const TEAM: &str = "payments";
/// The source of posture of every broker.
pub(crate) const SOURCE: &str = "scanner";

/// The processes that the benchmarks share. Dropping it stops them.
pub(crate) struct Fixture {
    pub(crate) programs: Programs,
    pub(crate) folder: TempDir,
    /// A broker with TLS, for clients.
    pub(crate) behind_tls: Broker,
    /// A broker without TLS, for load generators.
    pub(crate) in_the_clear: Broker,
    pub(crate) oidc_token: String,
    pub(crate) ca_file: PathBuf,
    issuer_url: String,
    _issuer: Server,
}

/// Stops when the fixture is dropped.
struct Server(Child);

impl Server {
    fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = fs::File::options().create(true).append(true).open(log)?;
        command.env_clear().stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self(command.spawn().context("the broker cannot be started")?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Fixture {
    pub(crate) fn start(programs: Programs) -> Result<Self> {
        // Beside the program and so on a disk: a temporary folder in memory would be too fast.
        let place =
            std::env::current_exe()?.parent().map(Path::to_owned).context("the folder of this program")?;
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(place)?;
        let (issuer, issuer_url, oidc_token) = issuer(&programs, folder.path())?;
        let certificates = Certificates::make(folder.path())?;
        let start = |name, certificates| {
            let database = Database::File(folder.path().join(format!("{name}.db")));
            Start {
                programs: &programs,
                folder: folder.path(),
                issuer: &issuer_url,
                name,
                certificates,
                database,
            }
            .start()
        };
        let behind_tls = start("tls", Some(&certificates))?;
        let in_the_clear = start("clear", None)?;
        Ok(Self {
            programs,
            folder,
            behind_tls,
            in_the_clear,
            oidc_token,
            ca_file: certificates.ca,
            issuer_url,
            _issuer: issuer,
        })
    }

    /// Starts another broker without TLS, with an agent of the same name.
    pub(crate) fn another(&self, name: &str, database: Database) -> Result<Broker> {
        let (folder, issuer) = (self.folder.path(), self.issuer_url.as_str());
        Start { programs: &self.programs, folder, issuer, name, certificates: None, database }.start()
    }

    /// The client as in the agent's step: with its token at hand, and nothing else in its environment.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        self.client_at(&self.behind_tls.url, arguments)
    }

    /// The same, with a proxy before the broker.
    pub(crate) fn client_at(&self, url: &str, arguments: &[&str]) -> Command {
        self.as_agent(url, &self.behind_tls.auth_token, arguments)
    }

    /// The same, for a broker without TLS.
    pub(crate) fn client_of(&self, broker: &Broker, arguments: &[&str]) -> Command {
        self.as_agent(&broker.url, &broker.auth_token, arguments)
    }

    /// The client as an operator's.
    pub(crate) fn operator_of(&self, broker: &Broker, arguments: &[&str]) -> Command {
        let mut command = bare_client(&self.programs, self.folder.path(), &broker.url, None, arguments);
        command.env("CLOUDANIX_OPERATOR_TOKEN", &broker.operator_token);
        command
    }

    fn as_agent(&self, url: &str, auth_token: &str, arguments: &[&str]) -> Command {
        let mut command =
            bare_client(&self.programs, self.folder.path(), url, Some(&self.ca_file), arguments);
        command
            .env("CLOUDANIX_AGENT_ID", AGENT)
            .env("CLOUDANIX_AUTH_TOKEN", auth_token)
            .env("CLOUDANIX_OIDC_TOKEN", &self.oidc_token);
        command
    }

    /// `run` with this step.
    pub(crate) fn run(&self, step: &[&str]) -> Command {
        self.client(&[&["run", "--policy", POLICY, "--ttl", "15m", "--"], step].concat())
    }

    /// The registration of the agent with these policies beside its own.
    pub(crate) fn registration(&self, more: &[String]) -> String {
        broker::registration(&self.issuer_url, more)
    }

    /// The body of an elevation without the client.
    pub(crate) fn elevation(&self) -> String {
        self.elevation_with(POLICY, [("ttl", "15m".into()), ("heartbeat", true.into())])
    }

    /// The same, for another policy.
    pub(crate) fn elevation_for(&self, policy: &str) -> String {
        self.elevation_with(policy, [("ttl", "15m".into()), ("heartbeat", false.into())])
    }

    /// The body of an elevation for an hour, without heartbeats.
    pub(crate) fn long_elevation(&self) -> String {
        self.elevation_with(POLICY, [("ttl", "1h".into()), ("heartbeat", false.into())])
    }

    fn elevation_with(&self, policy: &str, terms: [(&str, serde_json::Value); 2]) -> String {
        let whose = [
            ("agent_id", AGENT.into()),
            ("oidc_token", self.oidc_token.as_str().into()),
            ("policies", serde_json::json!([policy])),
        ];
        let body = whose.into_iter().chain(terms).map(|(name, value)| (name.to_owned(), value));
        serde_json::Value::Object(body.collect()).to_string()
    }

    /// A grant's timeline.
    pub(crate) fn timeline(&self, grant: &str) -> Result<protocol::Timeline> {
        let output = self.client(&["timeline", grant, "--output", "json"]).output()?;
        ensure!(
            output.status.success(),
            "no timeline of `{grant}`: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The client, whose environment holds only the broker's URL.
fn bare_client(
    programs: &Programs,
    folder: &Path,
    url: &str,
    ca: Option<&Path>,
    arguments: &[&str],
) -> Command {
    let mut command = Command::new(&programs.client);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("CLOUDANIX_URL", url).env("TMPDIR", folder);
    command.envs(ca.map(|ca| ("CLOUDANIX_CA_FILE", ca)));
    command
}

/// A broker in development mode, which is also an issuer: its URL, and the token of a job for repeated use.
fn issuer(programs: &Programs, folder: &Path) -> Result<(Server, String, String)> {
    let env_file = folder.join("issuer.env");
    let mut command = Command::new(&programs.broker);
    command.args(["dev", "--listen", "127.0.0.1:0", "--env-file"]).arg(&env_file);
    let server = Server::start(&mut command, &folder.join("issuer.log"))?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let settings = loop {
        match fs::read_to_string(&env_file) {
            Ok(settings) => break settings,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => bail!(
                "the issuer does not start: {}",
                fs::read_to_string(folder.join("issuer.log")).unwrap_or_default()
            ),
        }
    };
    let setting = |name: &str| {
        let value = settings.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.with_context(|| format!("no `{name}` in what the issuer wrote"))
    };
    let url = format!("{}/dev/oidc", setting("CLOUDANIX_URL")?);
    let token = fs::read_to_string(setting("CLOUDANIX_OIDC_TOKEN_FILE")?)?.trim().to_owned();
    Ok((server, url, token))
}

/// An idempotency key for a request without the client.
pub(crate) fn new_key() -> String {
    format!("{:032x}", crate::clock::wall().as_nanos())
}
