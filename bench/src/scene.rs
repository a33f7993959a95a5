//! Who is there when something is measured? An issuer, a broker behind TLS, one in the clear, and one agent.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::Programs;

/// The agent of all measurements, and what it asks for.
pub(crate) const AGENT: &str = "bench-agent";
pub(crate) const POLICY: &str = "orders-read";

/// Everything that runs beside what is measured. Ends with it.
pub(crate) struct Scene {
    pub(crate) programs: Programs,
    pub(crate) folder: TempDir,
    /// Serves over TLS: what a client talks to.
    pub(crate) behind_tls: Broker,
    /// Serves in the clear: what a load generator talks to.
    pub(crate) in_the_clear: Broker,
    pub(crate) oidc_token: String,
    pub(crate) ca_file: PathBuf,
    _issuer: Server,
}

/// A broker on SQLite with an agent in it.
pub(crate) struct Broker {
    pub(crate) url: String,
    pub(crate) port: u16,
    pub(crate) database: PathBuf,
    pub(crate) auth_token: String,
    server: Server,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    pub(crate) fn set(programs: Programs) -> Result<Self> {
        // Beside the program: on a disk, where the figures of a temporary folder in memory would be too good.
        let place =
            std::env::current_exe()?.parent().map(Path::to_owned).context("the folder of this program")?;
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(place)?;
        let (issuer, issuer_url, oidc_token) = issuer(&programs, folder.path())?;
        let certificates = Certificates::make(folder.path())?;
        let behind_tls = Broker::start(&programs, folder.path(), "tls", Some(&certificates), &issuer_url)?;
        let in_the_clear = Broker::start(&programs, folder.path(), "clear", None, &issuer_url)?;
        Ok(Self {
            programs,
            folder,
            behind_tls,
            in_the_clear,
            oidc_token,
            ca_file: certificates.ca,
            _issuer: issuer,
        })
    }

    /// Our client as the agent's step has it: with its token at hand, and nothing else in its environment.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        self.client_at(&self.behind_tls.url, arguments)
    }

    /// The same, with something between it and the broker.
    pub(crate) fn client_at(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command =
            bare_client(&self.programs, self.folder.path(), url, Some(&self.ca_file), arguments);
        command
            .env("CLOUDANIX_AGENT_ID", AGENT)
            .env("CLOUDANIX_AUTH_TOKEN", &self.behind_tls.auth_token)
            .env("CLOUDANIX_OIDC_TOKEN", &self.oidc_token);
        command
    }

    /// `run` with this step.
    pub(crate) fn run(&self, step: &[&str]) -> Command {
        self.client(&[&["run", "--policy", POLICY, "--ttl", "15m", "--"], step].concat())
    }

    /// The body of an elevation by hand.
    pub(crate) fn elevation(&self) -> String {
        serde_json::json!({
            "agent_id": AGENT, "oidc_token": self.oidc_token, "policies": [POLICY], "ttl": "15m", "heartbeat": true,
        })
        .to_string()
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

impl Broker {
    pub(crate) fn pid(&self) -> u32 {
        self.server.0.id()
    }

    fn start(
        programs: &Programs,
        folder: &Path,
        name: &str,
        certificates: Option<&Certificates>,
        issuer: &str,
    ) -> Result<Self> {
        let (operator_token, hash) = operator_token(programs)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let database = folder.join(format!("{name}.db"));
        let tls = certificates.map_or_else(String::new, |made| {
            format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", made.chain.display(), made.key.display())
        });
        let config = folder.join(format!("{name}.toml"));
        fs::write(
            &config,
            format!(
                "listen = \"127.0.0.1:{port}\"\nurl = \"{url}\"\ndatabase = \"sqlite:{}\"\n\
                 operator_token_hashes = [\"{hash}\"]\n{tls}[limits]\nelevations_per_minute = 100000000\n",
                database.display()
            ),
        )?;
        let log = folder.join(format!("{name}.log"));
        let mut command = Command::new(&programs.broker);
        command.args(["serve", "--config"]).arg(&config);
        let server = server(&mut command, &log)?;
        let registration = folder.join(format!("{name}-agent.toml"));
        fs::write(&registration, self::registration(issuer))?;
        let file = registration.display().to_string();
        let arguments = ["agent", "apply", "-f", &file, "--output", "json"];
        // Waits for the broker by itself.
        let applied =
            bare_client(programs, folder, &url, certificates.map(|made| made.ca.as_path()), &arguments)
                .env("CLOUDANIX_OPERATOR_TOKEN", operator_token)
                .output()?;
        ensure!(
            applied.status.success(),
            "no agent: {}; the broker's log: {}",
            String::from_utf8_lossy(&applied.stderr),
            fs::read_to_string(&log).unwrap_or_default()
        );
        let applied: Value = serde_json::from_slice(&applied.stdout)?;
        let auth_token =
            applied.get("auth_token").and_then(Value::as_str).context("an auth token")?.to_owned();
        Ok(Self { url, port, database, auth_token, server })
    }
}

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

fn server(command: &mut Command, log: &Path) -> Result<Server> {
    let log = File::create(log)?;
    command.env_clear().stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(Server(command.spawn().context("the broker cannot be started")?))
}

/// A broker in development mode is an issuer too: its URL, and the token of a job that is used again and again.
fn issuer(programs: &Programs, folder: &Path) -> Result<(Server, String, String)> {
    let env_file = folder.join("issuer.env");
    let mut command = Command::new(&programs.broker);
    command.args(["dev", "--listen", "127.0.0.1:0", "--env-file"]).arg(&env_file);
    let server = server(&mut command, &folder.join("issuer.log"))?;
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

fn operator_token(programs: &Programs) -> Result<(String, String)> {
    let output = Command::new(&programs.broker).arg("operator-token").env_clear().output()?;
    let text = String::from_utf8(output.stdout)?;
    let word = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|word| word.trim().to_owned())
            .with_context(|| format!("no {name} in what `operator-token` printed"))
    };
    Ok((word("token ")?, word("hash ")?))
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

/// A private authority and a certificate of its for loopback; both ECDSA P-256.
struct Certificates {
    ca: PathBuf,
    chain: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn make(folder: &Path) -> Result<Self> {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
        let key_pair = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(rcgen::DnType::CommonName, "bench authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = key_pair()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let key = key_pair()?;
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?
            .signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;
        let made = Self {
            ca: folder.join("ca.pem"),
            chain: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        fs::write(&made.ca, authority_certificate.pem())?;
        fs::write(&made.chain, certificate.pem())?;
        fs::write(&made.key, key.serialize_pem())?;
        Ok(made)
    }
}

/// An idempotency key for a request by hand.
pub(crate) fn new_key() -> String {
    format!("{:032x}", crate::clock::wall().as_nanos())
}
