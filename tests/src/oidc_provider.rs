//! What does a provider that we did not write say about our verification?
//!
//! A handle over `tests/oidc-provider/server.mjs`, which runs npm's `oauth2-mock-server` on a loopback port of
//! its own. Calls block for about a millisecond; they may be made from any thread, at once. Dropping the handle
//! ends the process, and so does the death of the test that held it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};

/// A running provider.
#[derive(Debug)]
pub struct OidcProvider {
    issuer: String,
    process: Child,
    pipes: Mutex<Pipes>,
}

#[derive(Debug)]
struct Pipes {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A token to be minted. Unless claims say otherwise it is issued now, valid from ten seconds ago, for five
/// minutes, signed with the current key; there is no `aud`, `sub` or `jti` but what is asked for.
#[derive(Debug, Clone)]
pub struct Token {
    claims: Value,
    expires_in: i64,
    header: Value,
    signed_by: Key,
}

/// Which of the provider's keys signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The newest one.
    Current,
    /// The one before the last rotation.
    Previous,
}

/// What happens to the keys from before a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKeys {
    /// They stay in the key set, as at a provider that rotates with an overlap.
    Kept,
    /// They are gone from the key set at once.
    Removed,
}

/// How a provider fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Nobody listens on its port.
    Refused,
    /// It accepts the request and never answers.
    Silent,
    /// It answers 503.
    Error,
}

/// How often the provider was asked for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetches {
    /// Requests for the discovery document.
    pub discovery: u64,
    /// Requests for the key set.
    pub jwks: u64,
}

impl Token {
    /// With these claims, which win over the provider's own; a claim that is `null` is left out.
    pub fn with_claims(claims: Value) -> Self {
        Self { claims, expires_in: 300, header: json!({}), signed_by: Key::Current }
    }

    /// For this audience, a string or a list.
    pub fn audience(mut self, audience: impl Into<Value>) -> Self {
        if let Some(claims) = self.claims.as_object_mut() {
            claims.insert("aud".into(), audience.into());
        }
        self
    }

    /// Expires in so many seconds; negative: it has expired.
    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.expires_in = seconds;
        self
    }

    /// With this in its header, over what the provider writes there; `alg` remains the key's own.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(header) = self.header.as_object_mut() {
            header.insert(name.into(), value.into());
        }
        self
    }

    /// Signed with this key.
    pub fn signed_by(mut self, key: Key) -> Self {
        self.signed_by = key;
        self
    }
}

impl OidcProvider {
    /// Starts a provider that signs RS256. Needs Node and `npm ci`, which `cargo xtask test` sees to.
    pub fn start() -> Result<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oidc-provider");
        if !folder.join("node_modules").is_dir() {
            bail!(
                "the OIDC provider is not installed: run `npm ci` in tests/oidc-provider, or `cargo xtask test`"
            );
        }
        let mut process = Command::new("node")
            .arg("server.mjs")
            .current_dir(folder)
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start `node`")?;
        let orders = process.stdin.take().context("no stdin to the provider")?;
        let answers = BufReader::new(process.stdout.take().context("no stdout from the provider")?);
        let mut pipes = Pipes { orders, answers };
        let greeting = pipes.read().context("the OIDC provider did not start")?;
        let issuer = text(&greeting, "issuer")?;
        Ok(Self { issuer, process, pipes: Mutex::new(pipes) })
    }

    /// Its `iss`, an `http://127.0.0.1:PORT`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token that the provider signs.
    pub fn mint(&self, token: &Token) -> Result<String> {
        let signed_by = match token.signed_by {
            Key::Current => "current",
            Key::Previous => "previous",
        };
        let answer = self.order(json!({
            "do": "mint",
            "claims": token.claims,
            "expires_in": token.expires_in,
            "header": token.header,
            "signed_by": signed_by,
        }))?;
        text(&answer, "token")
    }

    /// Signs with a new RS256 key from now on. Returns the new key's id.
    pub fn rotate(&self, old_keys: OldKeys) -> Result<String> {
        self.rotate_to("RS256", old_keys)
    }

    /// Signs with a new key of this algorithm from now on: `PS256`, `ES384`, `EdDSA`…
    pub fn rotate_to(&self, algorithm: &str, old_keys: OldKeys) -> Result<String> {
        let old_keys = match old_keys {
            OldKeys::Kept => "kept",
            OldKeys::Removed => "removed",
        };
        let answer = self.order(json!({"do": "rotate", "algorithm": algorithm, "old_keys": old_keys}))?;
        text(&answer, "kid")
    }

    /// Fails in this way until [`OidcProvider::answer_again`]. Minting goes on working.
    pub fn stop_answering(&self, how: Outage) -> Result<()> {
        let kind = match how {
            Outage::Refused => "refused",
            Outage::Silent => "silent",
            Outage::Error => "error",
        };
        self.order(json!({"do": "outage", "kind": kind})).map(drop)
    }

    /// Answers again, on the same port.
    pub fn answer_again(&self) -> Result<()> {
        self.order(json!({"do": "outage", "kind": "none"})).map(drop)
    }

    /// How often it was asked since it started.
    pub fn fetches(&self) -> Result<Fetches> {
        let answer = self.order(json!({"do": "counts"}))?;
        let count = |what: &str| answer.get(what).and_then(Value::as_u64).context("a count is missing");
        Ok(Fetches { discovery: count("discovery")?, jwks: count("jwks")? })
    }

    fn order(&self, order: Value) -> Result<Map<String, Value>> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipes.orders, "{order}").context("the OIDC provider is gone")?;
        pipes.read()
    }
}

impl Pipes {
    fn read(&mut self) -> Result<Map<String, Value>> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the OIDC provider ended");
        }
        let answer: Map<String, Value> = serde_json::from_str(&line)?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(anyhow!("the OIDC provider refused: {error}")),
            None => Ok(answer),
        }
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        // It may be gone already, and nobody is left to tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(answer: &Map<String, Value>, field: &str) -> Result<String> {
    let value = answer.get(field).and_then(Value::as_str);
    value.map(str::to_owned).with_context(|| format!("expected `{field}` in the answer, found {answer:?}"))
}
