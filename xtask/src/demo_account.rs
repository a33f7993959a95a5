//! The AWS account of the demo: the emulator and the AWS CLI that the tests use.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::demo::Running;
use crate::process::{output, program, root};

/// The account in `examples/aws/broker-policy.json`.
pub(crate) const ACCOUNT: &str = "123456789012";

/// An access key of the emulator.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Keys {
    /// Reads the keys from the first object that has them.
    pub(crate) fn of(answer: &Value) -> Result<Self> {
        let found = ["/AccessKey", "/Credentials", "/credentials"].iter().find_map(|at| answer.pointer(at));
        let found = found.with_context(|| format!("expected keys, found {answer}"))?;
        let text =
            |names: [&str; 2]| names.iter().find_map(|name| found.get(*name)?.as_str()).map(str::to_owned);
        Ok(Self {
            id: text(["AccessKeyId", "access_key_id"]).context("keys without an id")?,
            secret: text(["SecretAccessKey", "secret_access_key"]).context("keys without a secret")?,
            token: text(["SessionToken", "session_token"]),
        })
    }

    /// The environment variables for the AWS SDKs.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let long_lived = [("AWS_ACCESS_KEY_ID", &self.id), ("AWS_SECRET_ACCESS_KEY", &self.secret)];
        let token = self.token.iter().map(|token| ("AWS_SESSION_TOKEN", token));
        long_lived.into_iter().chain(token).map(|(name, value)| (name, value.clone())).collect()
    }
}

/// An emulator with an account. Dropping it stops the emulator.
pub(crate) struct Account {
    _emulator: Running,
    endpoint: String,
}

impl Account {
    /// Starts an emulator that enforces IAM, on loopback, with its files in `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = std::fs::File::create(folder.join("emulator.log"))?;
        let mut command = scrubbed(program(tool("ministack")));
        command
            .env("AUTH", "true")
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("LOG_LEVEL", "WARNING")
            // These two services would listen on further ports, on every interface.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("HOME", folder)
            .env("TMPDIR", folder);
        let emulator = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let mut emulator = Running(emulator.context("cannot start the emulator")?);
        let patience = Instant::now() + Duration::from_secs(60);
        while !answers(port, "/_ministack/health") {
            if let Some(status) = emulator.0.try_wait()? {
                bail!("the emulator ended with {status}: its log is in `{}`", folder.display());
            }
            ensure!(Instant::now() < patience, "the emulator was not ready after 60 s");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { _emulator: emulator, endpoint: format!("http://127.0.0.1:{port}") })
    }

    /// Creates the broker's user, the pipeline's session and the policies; returns the keys of both.
    pub(crate) fn furnish(&self) -> Result<(Keys, Keys)> {
        let broker = self.user("broker", include_str!("../../examples/aws/broker-policy.json"))?;
        let pipeline = self.user("pipeline", &allow(&["sts:AssumeRole"]))?;
        self.role("deploy", "user/pipeline")?;
        self.role("sessions", "user/broker")?;
        let most = allow(&["ecs:*", "s3:*"]);
        let sessions = ["--role-name", "sessions", "--policy-name", "most", "--policy-document", &most];
        self.root("put-role-policy", &sessions)?;
        let ecs = allow(&["ecs:ListClusters"]);
        self.root("create-policy", &["--policy-name", "EcsRead", "--policy-document", &ecs])?;
        let deploy = arn("role/deploy");
        let mut assume = self.aws(&["sts", "assume-role", "--role-session-name", "pipeline", "--role-arn"]);
        assume.arg(deploy).envs(pipeline.environment());
        let session = Keys::of(&serde_json::from_slice(&output(&mut assume)?)?)?;
        Ok((broker, session))
    }

    /// The environment variables of the emulator's address, without keys.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 7] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_MAX_ATTEMPTS", "1"),
            ("AWS_PAGER", ""),
        ]
    }

    /// The real AWS CLI.
    pub(crate) fn aws(&self, words: &[&str]) -> Command {
        let mut command = scrubbed(program(tool("aws")));
        command.args(words).envs(self.environment());
        command
    }

    fn user(&self, name: &str, policy: &str) -> Result<Keys> {
        self.root("create-user", &["--user-name", name])?;
        let own = ["--user-name", name, "--policy-name", "own", "--policy-document", policy];
        self.root("put-user-policy", &own)?;
        Keys::of(&self.root("create-access-key", &["--user-name", name])?)
    }

    fn role(&self, name: &str, trusted: &str) -> Result<()> {
        let trust = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "AWS": arn(trusted) },
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        }] });
        let trust = trust.to_string();
        self.root("create-role", &["--role-name", name, "--assume-role-policy-document", &trust]).map(drop)
    }

    /// The AWS CLI as the root of the account, whose number is its key in the emulator.
    fn root(&self, what: &str, words: &[&str]) -> Result<Value> {
        let mut command = self.aws(&["iam", what, "--output", "json"]);
        command.args(words).env("AWS_ACCESS_KEY_ID", ACCOUNT).env("AWS_SECRET_ACCESS_KEY", "test");
        let answer = output(&mut command)?;
        Ok(serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }
}

/// The ARN of an IAM object in the account.
pub(crate) fn arn(what: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:{what}")
}

/// A program in the pinned Python environment.
pub(crate) fn tool(name: &str) -> PathBuf {
    root().join(".tools/aws-python/bin").join(name)
}

/// Removes the caller's AWS settings from the environment.
pub(crate) fn scrubbed(mut command: Command) -> Command {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("AWS_") {
            command.env_remove(variable);
        }
    }
    command
}

fn allow(actions: &[&str]) -> String {
    let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// Whether a GET of the path is answered with 200.
pub(crate) fn answers(port: u16, path: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(String::from_utf8_lossy(&start).into_owned())
    };
    ask().is_ok_and(|start| start.ends_with(" 200"))
}
