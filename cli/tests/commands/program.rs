//! Runs the real binary with the environment of the test and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;
#[cfg(unix)]
use std::{
    io::Read,
    process::{Command, Output, Stdio},
};

use assert_cmd::assert::Assert;
#[cfg(unix)]
use assert_cmd::assert::OutputAssertExt as _;
use assert_cmd::cargo::cargo_bin;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::{
    AuthToken, Credentials, EnforcedBy, Facts, Grant, GrantId, GrantStatus, Provenance, Secret, Timestamp,
};

pub(crate) const GRANT_TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.Z3JhbnQ.c2lnbmF0dXJlLW9mLXRoZS1ncmFudA";
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);
const OIDC_SIGNATURE: &str = "c2lnbmF0dXJlLW9mLXRoZS1pc3N1ZXI";

/// The binary, about to be run, and its folder.
pub(crate) struct Program {
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    stdin: String,
    folder: tempfile::TempDir,
    expected_on_stdout: Vec<String>,
}

/// The binary at work. It does not outlive the test.
pub(crate) struct Running<'a> {
    pub(crate) child: Child,
    program: &'a Program,
}

pub(crate) fn auth_token() -> String {
    AuthToken::from_random([1; 6], [2; 24]).secret().reveal().to_owned()
}

pub(crate) fn oidc_token(claims: &serde_json::Value) -> String {
    format!("e30.{}.{OIDC_SIGNATURE}", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn good_oidc_token() -> String {
    oidc_token(&serde_json::json!({
        "iss": "https://issuer.example", "sub": "repo:octo/app", "aud": "cloudanix-jit", "exp": 253_402_300_000_i64
    }))
}

pub(crate) fn grant_id() -> GrantId {
    "elev-9c11f3a800000001".parse().unwrap()
}

pub(crate) fn grant(status: GrantStatus) -> Grant {
    let at = Timestamp::from_secs(1_780_927_214);
    Grant {
        id: grant_id(),
        status,
        agent_id: "test-agent".parse().unwrap(),
        policies: vec!["orders-read".parse().unwrap()],
        target: "token".to_owned(),
        scope: "token".to_owned(),
        ttl: "15m".parse().unwrap(),
        requested_at: at,
        granted_at: Some(at),
        expires_at: Timestamp::from_secs(1_780_928_114),
        ended_at: None,
        end_reason: None,
        enforced_by: EnforcedBy::Broker,
        heartbeat_seconds: None,
        provenance: Provenance { claimed: Facts::default(), ..Provenance::default() },
        reason: None,
        approval: None,
        break_glass: None,
        denials: None,
        credentials: None,
    }
}

pub(crate) fn grant_with_token() -> Grant {
    let token = Secret::new(GRANT_TOKEN);
    Grant { credentials: Some(Credentials::Token { token }), ..grant(GrantStatus::Active) }
}

impl Program {
    /// With a complete set-up of an agent.
    pub(crate) fn new(url: &str, arguments: &[&str]) -> Self {
        Self::bare(arguments)
            .env("CLOUDANIX_URL", url)
            .env("CLOUDANIX_AUTH_TOKEN", auth_token())
            .env("CLOUDANIX_AGENT_ID", "test-agent")
            .env("CLOUDANIX_OIDC_TOKEN", good_oidc_token())
    }

    /// With a complete set-up of an operator.
    pub(crate) fn operator(url: &str, arguments: &[&str]) -> Self {
        Self::bare(arguments)
            .env("CLOUDANIX_URL", url)
            .env("CLOUDANIX_OPERATOR_TOKEN", "operator-token-of-the-test")
    }

    pub(crate) fn bare(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let variables = BTreeMap::from([("TMPDIR".to_owned(), folder.path().display().to_string())]);
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { arguments, variables, stdin: String::new(), folder, expected_on_stdout: Vec::new() }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.variables.insert(name.to_owned(), value.as_ref().to_owned());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.to_owned();
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Handing this secret over on stdout is what the command is for.
    pub(crate) fn hands_over(mut self, secret: &str) -> Self {
        self.expected_on_stdout.push(secret.to_owned());
        self
    }

    /// Runs it to its end, and searches everything that it printed for secrets.
    #[track_caller]
    pub(crate) fn assert(&self) -> Assert {
        let mut command = assert_cmd::Command::new(cargo_bin!("cloudanix-jit"));
        command.args(&self.arguments).env_clear().envs(&self.variables).current_dir(self.folder());
        let assert = command.write_stdin(self.stdin.as_str()).timeout(PATIENCE).assert();
        self.assert_keeps_secrets(&assert);
        assert
    }

    /// Leaves it at work, with the signals that a terminal would leave it.
    #[cfg(unix)]
    pub(crate) fn start(&self) -> Running<'_> {
        // A background job of a shell ignores Ctrl-C.
        let mut command = Command::new("env");
        command
            .args(cfg!(target_os = "linux").then_some("--default-signal"))
            .arg(cargo_bin!("cloudanix-jit"));
        command.args(&self.arguments).env_clear().envs(&self.variables).current_dir(self.folder());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { child: command.spawn().unwrap(), program: self }
    }

    fn assert_keeps_secrets(&self, assert: &Assert) {
        let token = auth_token();
        let secrets = [token.as_str(), OIDC_SIGNATURE, GRANT_TOKEN, "operator-token-of-the-test"];
        let (printed, said) = (assert.printed(), assert.said());
        for secret in secrets {
            let handed_over = self.expected_on_stdout.iter().any(|expected| expected == secret);
            assert!(handed_over || !printed.contains(secret), "on stdout: {printed}");
            let mut masked = said.lines().filter(|line| !line.starts_with("::add-mask::"));
            assert!(masked.all(|line| !line.contains(secret)), "on stderr: {said}");
        }
    }

    /// The handles that lie in the temp folder.
    pub(crate) fn handles(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("cloudanix-jit-"));
        found
    }
}

#[cfg(unix)]
impl Running<'_> {
    /// Waits for its end, and searches everything that it printed for secrets.
    #[track_caller]
    pub(crate) fn assert(mut self) -> Assert {
        let read = |output: &mut dyn Read| {
            let mut bytes = Vec::new();
            output.read_to_end(&mut bytes).unwrap();
            bytes
        };
        // Both are short: neither fills its pipe while the other is read.
        let stdout = read(self.child.stdout.as_mut().unwrap());
        let stderr = read(self.child.stderr.as_mut().unwrap());
        let assert = Output { status: self.child.wait().unwrap(), stdout, stderr }.assert();
        self.program.assert_keeps_secrets(&assert);
        assert
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came out, as text.
pub(crate) trait Printed {
    /// For programs.
    fn printed(&self) -> String;
    /// For people.
    fn said(&self) -> String;
}

impl Printed for Assert {
    fn printed(&self) -> String {
        String::from_utf8(self.get_output().stdout.clone()).unwrap()
    }

    fn said(&self) -> String {
        String::from_utf8(self.get_output().stderr.clone()).unwrap()
    }
}
