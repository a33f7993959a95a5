//! Runs a real broker: starts, stops, kills and restarts it on the same data.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::Method;

use crate::http;
use crate::programs;
use crate::waiting::eventually;

mod requests;

/// Settings that several brokers share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The database on a server.
    pub database: String,
    /// The database's password.
    pub password: String,
    /// The public URL of all of them.
    pub url: String,
    /// Lines for `[postgres]`.
    pub more: String,
}

/// A token, and its hash for the configuration.
struct NamedToken {
    token: String,
    hash: String,
}

/// The name of the operator's token.
pub const OPERATOR: &str = "tests";
/// Enough elevations per minute that no test waits.
pub const NO_RATE_LIMIT: &str = "elevations_per_minute = 1000000";
/// Enough requests per minute for tests that poll from one address; tests of the rate limiter set their own.
const REQUESTS: &str = "requests_per_minute_per_address";

/// A broker with its own folder. Dropping it kills it and removes the folder.
pub struct Broker {
    folder: tempfile::TempDir,
    launcher: Vec<String>,
    url: String,
    shared: Option<Shared>,
    process: Option<Child>,
    operator: NamedToken,
    introspection: NamedToken,
    /// An HTTP client that trusts the broker's certificate, if the broker serves TLS.
    client: Option<reqwest::Client>,
}

impl Broker {
    /// Starts `serve` on SQLite, with the default limits except for the number of elevations.
    pub fn start() -> Self {
        Self::launched_by(&[], NO_RATE_LIMIT)
    }

    /// The same, with this interval of heartbeats.
    pub fn with_heartbeat(every: &str) -> Self {
        Self::launched_by(&[], &format!("{NO_RATE_LIMIT}\nheartbeat = \"{every}\""))
    }

    /// The same, with this rate limit of elevations.
    pub fn with_pace(elevations_per_minute: u32) -> Self {
        Self::launched_by(&[], &format!("elevations_per_minute = {elevations_per_minute}"))
    }

    /// Starts the broker through another program, whose name and arguments precede the broker's (`{data}` in them is
    /// the folder of the database), with these lines under `[limits]`.
    pub fn launched_by(launcher: &[&str], limits: &str) -> Self {
        let mut broker = Self::not_yet_started(launcher, None);
        broker.start_first(limits);
        broker
    }

    /// Starts one of several brokers on this database.
    pub fn sharing(shared: &Shared, limits: &str) -> Self {
        let mut broker = Self::not_yet_started(&[], Some(shared.clone()));
        broker.start_first(limits);
        broker
    }

    /// Starts a broker with TLS, for this client: with these lines under `[limits]` and after it, `[tls]` among them.
    pub fn behind_tls(client: reqwest::Client, limits: &str) -> Self {
        Self::launched_behind_tls(&[], client, limits)
    }

    /// The same, through another program.
    pub fn launched_behind_tls(launcher: &[&str], client: reqwest::Client, limits: &str) -> Self {
        let mut broker = Self::not_yet_started(launcher, None);
        broker.client = Some(client);
        broker.start_first(limits);
        broker
    }

    fn not_yet_started(launcher: &[&str], shared: Option<Shared>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("data")).expect("a folder for the database");
        let launcher = launcher
            .iter()
            .map(|part| part.replace("{data}", &folder.path().join("data").display().to_string()))
            .collect();
        if let Some(shared) = &shared {
            fs::write(folder.path().join("password"), &shared.password).expect("a file for the password");
        }
        Self {
            folder,
            launcher,
            url: String::new(),
            shared,
            process: None,
            operator: new_token("operator-token", OPERATOR),
            introspection: new_token("introspection-token", OPERATOR),
            client: None,
        }
    }

    #[track_caller]
    fn start_first(&mut self, limits: &str) {
        // Another process may take the port before the broker binds it.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port();
            let scheme = if self.client.is_some() { "https" } else { "http" };
            self.url = format!("{scheme}://127.0.0.1:{port}");
            fs::write(self.config(), self.configuration(port, limits)).unwrap();
            if self.try_to_start() {
                return;
            }
        }
        panic!("the broker does not start: {}", self.log());
    }

    /// The broker's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The broker's folder: configuration, database, log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Path of the database, without its `-wal` and `-shm`.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/broker.db")
    }

    /// The process id, for observation.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running broker").id()
    }

    /// The log so far, over all restarts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The token for the operator's commands.
    pub fn operator_token(&self) -> &str {
        &self.operator.token
    }

    /// The token for resource servers.
    pub fn introspection_token(&self) -> &str {
        &self.introspection.token
    }

    /// Sends `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            process.wait().expect("the end of the broker");
        }
    }

    /// Sends SIGTERM and waits for the end. Returns the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("a running broker");
        crate::client::kill(process.id().cast_signed(), "TERM");
        eventually("the end of the broker", || process.try_wait().expect("a child of ours")).code()
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        crate::client::kill(self.pid().cast_signed(), "HUP");
    }

    /// Edits the configuration file. The broker does not reload it.
    pub fn reconfigure(&self, change: impl FnOnce(String) -> String) {
        let old = fs::read_to_string(self.config()).unwrap();
        let new = change(old.clone());
        assert_ne!(old, new, "nothing was changed");
        crate::certificates::put(&self.config(), &new);
    }

    /// Adds an operator to the configuration of the running broker; returns its token.
    pub fn add_operator(&self, name: &str) -> String {
        let made = new_token("operator-token", name);
        self.reconfigure(|text| format!("operators.{name}.sha256 = \"{}\"\n{text}", made.hash));
        self.hang_up();
        eventually("the new operator", || {
            let list = self.request(Method::GET, "/v2/agents").bearer_auth(&made.token);
            (http::send(list).status == 200).then_some(())
        });
        made.token
    }

    /// Starts the broker again, on the same data and port.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        // A connection of another test may occupy the port for a moment.
        if !(0..5).any(|_| self.try_to_start()) {
            panic!("the broker does not start again: {}", self.log());
        }
    }

    /// Path of the configuration.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("broker.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    fn configuration(&self, port: u16, limits: &str) -> String {
        let (url, database, postgres) = match &self.shared {
            None => (&self.url, format!("sqlite:{}", self.database().display()), String::new()),
            Some(shared) => {
                let file = self.folder.path().join("password");
                let more = &shared.more;
                let postgres = format!("[postgres]\npassword_file = \"{}\"\n{more}\n", file.display());
                (&shared.url, shared.database.clone(), postgres)
            }
        };
        let requests = match limits.contains(REQUESTS) {
            true => String::new(),
            false => format!("{REQUESTS} = 1000000\n"),
        };
        format!(
            "listen = \"127.0.0.1:{port}\"\nurl = \"{url}\"\ndatabase = \"{database}\"\n\
             operators.{OPERATOR}.sha256 = \"{}\"\nintrospectors.tests.sha256 = \"{}\"\n\
             {postgres}[limits]\n{requests}{limits}\n",
            self.operator.hash, self.introspection.hash,
        )
    }

    /// False if the broker exited before it was ready.
    fn try_to_start(&mut self) -> bool {
        let log = log_to(&self.log_file());
        let told_before = self.log().len();
        let program = programs::broker().display().to_string();
        let line: Vec<String> = self.launcher.iter().cloned().chain([program]).collect();
        let (first, others) = line.split_first().expect("a program");
        let mut process = Command::new(first)
            .args(others)
            .args(["serve", "--config"])
            .arg(self.config())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(programs::broker_logs().map(|which| ("RUST_LOG", which)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the broker");
        // If another process has taken the port, its broker answers here.
        let listens = || {
            let log = self.log();
            let told = log.get(told_before..).unwrap_or_default();
            told.contains(" ready listen=") || told.contains("\"ready\"")
        };
        let ready = eventually("a ready broker", || {
            let is_ready = || {
                let answer = http::try_send(self.request(Method::GET, "/readyz"));
                answer.is_ok_and(|answer| answer.status == 200)
            };
            if listens() && is_ready() {
                return Some(true);
            }
            process.try_wait().expect("a child of ours").map(|_| false)
        });
        self.process = ready.then_some(process);
        ready
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn log_to(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("a log")
}

/// Makes a token with this command of the broker.
fn new_token(command: &str, name: &str) -> NamedToken {
    let mut making = Command::new(programs::broker());
    let output = making.args([command, "--name", name]).env_clear().output().expect("the broker");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect("a line of the command").trim().trim_matches('"').to_owned()
    };
    NamedToken { token: line("token "), hash: line("sha256 = ") }
}
