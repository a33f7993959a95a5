//! Calls AWS through boto3, fast enough for some hundred calls per second.
//!
//! A handle over `tests/aws/calls.py`, a boto3 process that lives as long as the handle, and no longer than the
//! test. It makes one call at a time: start two for concurrent calls.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::clock::Clock;
use super::outcome::{Failure, Outcome};
use super::python;
use super::snapshot::Snapshot;

/// An access key, long-lived or of a session. Valid at an emulator only.
#[derive(Clone, PartialEq)]
pub struct Keys {
    /// `AKIA…`, `ASIA…`, or the id of an account for its root.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// The session token.
    pub token: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Keys({})", self.id)
    }
}

impl Keys {
    /// Parses the responses of `AssumeRole` and `CreateAccessKey`.
    #[track_caller]
    pub fn from_answer(answer: &Value) -> Self {
        let issued = answer.get("Credentials").or_else(|| answer.get("AccessKey"));
        let text = |field: &str| issued.and_then(|issued| issued.get(field)?.as_str()).map(str::to_owned);
        let (Some(id), Some(secret)) = (text("AccessKeyId"), text("SecretAccessKey")) else {
            panic!("expected credentials, found {answer}")
        };
        Self { id, secret, token: text("SessionToken") }
    }
}

/// A running boto3 process for one endpoint.
pub struct Calls {
    endpoint: String,
    process: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Calls {
    /// Starts boto3 for an emulator, or for a proxy before it.
    pub fn to(endpoint: &str) -> Self {
        Self::started(endpoint, None)
    }

    /// The same, with another clock.
    pub fn by_clock(endpoint: &str, clock: &Clock) -> Self {
        Self::started(endpoint, Some(clock))
    }

    pub(super) fn started(endpoint: &str, clock: Option<&Clock>) -> Self {
        let mut process = python::program("python")
            .arg("-I")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("aws/calls.py"))
            .envs(clock.map(Clock::environment).unwrap_or_default())
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let pipes = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { endpoint: endpoint.to_owned(), process, pipes: Mutex::new(pipes) }
    }

    /// Makes one call, by botocore's names: `("iam", "create_role", {"RoleName": …})`.
    pub fn call(&self, keys: &Keys, service: &str, operation: &str, arguments: Value) -> Outcome {
        self.order("call", keys, json!({"service": service, "operation": operation, "arguments": arguments}))
    }

    /// Makes a list call, over all of its pages.
    pub fn pages(&self, keys: &Keys, service: &str, operation: &str, arguments: Value) -> Outcome {
        self.order("pages", keys, json!({"service": service, "operation": operation, "arguments": arguments}))
    }

    /// Everything in the account that can carry access, as these keys (mostly an account's root) see it.
    #[track_caller]
    pub fn snapshot(&self, keys: &Keys) -> Snapshot {
        Snapshot::new(self.order("snapshot", keys, json!({})).expect_allowed())
    }

    /// Calls `ecs list-clusters`, which a test's policy usually allows.
    pub fn list_clusters(&self, keys: &Keys) -> Outcome {
        self.call(keys, "ecs", "list_clusters", json!({}))
    }

    #[track_caller]
    fn order(&self, what: &str, keys: &Keys, mut order: Value) -> Outcome {
        let all = order.as_object_mut().unwrap();
        all.insert("do".into(), what.into());
        all.insert("endpoint".into(), self.endpoint.as_str().into());
        all.insert("keys".into(), json!({"id": keys.id, "secret": keys.secret, "token": keys.token}));
        let mut line = String::new();
        {
            let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(pipes.0, "{order}").expect("tests/aws/calls.py is running");
            pipes.1.read_line(&mut line).expect("tests/aws/calls.py answers");
        }
        let answer: Value = serde_json::from_str(&line).expect("an answer of tests/aws/calls.py");
        if let Some(answer) = answer.get("ok") {
            return Outcome::Allowed(answer.clone());
        }
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let status = answer.pointer("/refused/status").and_then(Value::as_u64).unwrap_or_default();
        let message = format!("{}{}", text("/refused/message"), text("/failed"));
        Outcome::of_error(Failure {
            code: text("/refused/code").to_owned(),
            status: u16::try_from(status).unwrap_or_default(),
            message,
        })
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // The process may have exited already, and `drop` cannot report an error.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
