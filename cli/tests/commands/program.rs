//! How does a test run the real binary, in an environment that holds nothing but what the test says?

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::{
    AuthToken, Credentials, EnforcedBy, Facts, Grant, GrantId, GrantStatus, Provenance, Secret, Timestamp,
};

pub(crate) const GRANT_TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.Z3JhbnQ.c2lnbmF0dXJlLW9mLXRoZS1ncmFudA";
const OIDC_SIGNATURE: &str = "c2lnbmF0dXJlLW9mLXRoZS1pc3N1ZXI";

/// The binary, about to be run.
pub(crate) struct Program {
    command: Command,
    stdin: String,
    folder: tempfile::TempDir,
    expected_on_stdout: Vec<String>,
}

/// The binary at work.
pub(crate) struct Running {
    pub(crate) child: Child,
    folder: tempfile::TempDir,
    expected_on_stdout: Vec<String>,
}

pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) folder: tempfile::TempDir,
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudanix-jit"));
        command.args(arguments).env_clear().env("TMPDIR", folder.path()).current_dir(folder.path());
        Self { command, stdin: String::new(), folder, expected_on_stdout: Vec::new() }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
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

    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        // A command that does not read its input may be gone by now.
        let _ = child.stdin.take().unwrap().write_all(self.stdin.as_bytes());
        Running { child, folder: self.folder, expected_on_stdout: self.expected_on_stdout }
    }

    #[track_caller]
    pub(crate) fn finish(self) -> Finished {
        self.start().finish()
    }
}

impl Running {
    /// Waits for its end, and searches everything that it printed for secrets.
    #[track_caller]
    pub(crate) fn finish(self) -> Finished {
        let output = self.child.wait_with_output().unwrap();
        let finished = Finished {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            folder: self.folder,
        };
        let token = auth_token();
        let secrets = [token.as_str(), OIDC_SIGNATURE, GRANT_TOKEN, "operator-token-of-the-test"];
        for secret in secrets {
            let handed_over = self.expected_on_stdout.iter().any(|expected| expected == secret);
            assert!(handed_over || !finished.stdout.contains(secret), "on stdout: {}", finished.stdout);
            let masked = finished.stderr.lines().filter(|line| !line.starts_with("::add-mask::"));
            assert!(masked.into_iter().all(|line| !line.contains(secret)), "on stderr: {}", finished.stderr);
        }
        finished
    }
}

impl Finished {
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn assert_says(&self, words: &str) -> &Self {
        assert!(self.stderr.contains(words), "`{words}` in {}", self.stderr);
        self
    }

    /// The handles that lie in the temp folder.
    pub(crate) fn handles(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("cloudanix-jit-"));
        found
    }
}
