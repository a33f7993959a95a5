//! A Gitea server on loopback with one user, started for one test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use system_tests::client::kill;
use system_tests::http::{self, Answer};
use system_tests::waiting::eventually_within;
use system_tests::wrappers::root;

use super::site::PATIENCE;

/// The user that owns the repositories, who is also the administrator as the server's first user.
pub(crate) const USER: &str = "octo";
const PASSWORD: &str = "password-of-octo";

/// A running server with its own folder. Dropping it kills its process group and removes the folder.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    process: Child,
    url: String,
    session: String,
}

/// The path of a file that `cargo xtask test` builds.
#[track_caller]
pub(crate) fn built(name: &str) -> PathBuf {
    let path = root().join(".tools/gitea").join(name);
    if !path.exists() {
        panic!("`{}` is missing: run `cargo xtask test`, which builds it", path.display());
    }
    path
}

/// Builds a command whose process gets SIGKILL when the thread that starts it ends, even by a kill.
pub(crate) fn killed_with_the_test(program: PathBuf) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

impl Server {
    /// Starts a server whose runners register with `registration_token`, and signs up the user.
    pub(crate) fn start(registration_token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = None;
        // Another process may take the port before the server listens on it, so this retries.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port();
            fs::write(folder.path().join("app.ini"), configuration(folder.path(), port)).unwrap();
            server = ready(folder.path(), port, registration_token);
            if server.is_some() {
                break;
            }
        }
        let Some((process, url)) = server else {
            panic!("the server does not start: {}", log(folder.path()));
        };
        let mut server = Self { folder, process, url, session: String::new() };
        server.session = server.sign_up();
        server
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The server's folder: database, repositories and stored logs of jobs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Builds a request to the API as the user.
    pub(crate) fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let request = http::request(method, &format!("{}/api/v1{path}", self.url));
        request.basic_auth(USER, Some(PASSWORD)).timeout(PATIENCE)
    }

    /// Sends a JSON document to the API.
    #[track_caller]
    pub(crate) fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        let answer = http::send(self.api(method, path).json(body));
        assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.text);
        answer
    }

    /// Cancels a run through the web page's route, because this version has no API for it.
    #[track_caller]
    pub(crate) fn cancel(&self, repository: &str, run: i64) {
        let url = format!("{}/{repository}/actions/runs/{run}/cancel", self.url);
        http::send(http::request(Method::POST, &url).header("cookie", &self.session)).expect(200);
    }

    /// Signs up the user and returns the session cookie.
    fn sign_up(&self) -> String {
        let form =
            format!("user_name={USER}&email={USER}%40example.com&password={PASSWORD}&retype={PASSWORD}");
        // The response redirects to a page that needs the frontend, which is not built.
        let client = http::client(|builder| builder.redirect(reqwest::redirect::Policy::none()));
        let request = client
            .request(Method::POST, format!("{}/user/sign_up", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .timeout(PATIENCE);
        let answer = http::send(request).expect(303);
        let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
        let pairs = cookies.filter_map(|(_, value)| value.split(';').next()?.split_once('='));
        // The server starts a new session after the sign-up, so the later cookie counts.
        let session: BTreeMap<&str, &str> = pairs.collect();
        let pairs: Vec<String> = session.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(-self.process.id().cast_signed(), "KILL");
        let _ = self.process.wait();
    }
}

/// Starts the server and waits until it answers; `None` if its process has ended.
fn ready(folder: &Path, port: u16, registration_token: &str) -> Option<(Child, String)> {
    let url = format!("http://127.0.0.1:{port}");
    let output = File::create(folder.join("server.log")).unwrap();
    let mut process = killed_with_the_test(built("gitea"))
        .arg("--work-path")
        .arg(folder)
        .arg("--config")
        .arg(folder.join("app.ini"))
        .arg("web")
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", folder)
        .env("GITEA_RUNNER_REGISTRATION_TOKEN", registration_token)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .process_group(0)
        .spawn()
        .unwrap();
    eventually_within(PATIENCE, "a ready Gitea", || {
        let answer = http::try_send(http::request(Method::GET, &format!("{url}/api/healthz")));
        if answer.is_ok_and(|answer| answer.status == 200) {
            return Some(true);
        }
        process.try_wait().unwrap().map(|_| false)
    })
    .then_some((process, url))
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("server.log")).unwrap_or_default()
}

fn configuration(folder: &Path, port: u16) -> String {
    let user = Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(user.stdout).unwrap();
    format!(
        r#"RUN_MODE = prod
RUN_USER = {user}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
WORK_PATH = {folder}

[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {static_root}
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false

[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
; Waits for the disk less often.
SQLITE_JOURNAL_MODE = WAL

[security]
INSTALL_LOCK = true
SECRET_KEY = secret-key-of-this-test
; A hash of a well-known password, computed for each request.
PASSWORD_HASH_ALGO = pbkdf2$1$50

[actions]
ENABLED = true
DEFAULT_ACTIONS_URL = self
LOG_COMPRESSION = none

[cron]
ENABLED = false

[log]
MODE = console
LEVEL = Warn
"#,
        folder = folder.display(),
        static_root = built("static").display(),
    )
}
