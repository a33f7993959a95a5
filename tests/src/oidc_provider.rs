//! Runs an independent OIDC provider, to test the verification of its tokens.
//!
//! A handle over `tests/node/issuers.mjs`, which runs npm's `oauth2-mock-server`s, each on a loopback port of
//! its own. Calls block for about a millisecond, and may be made concurrently from any thread. Dropping the handle
//! ends the server.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::node_script::{Server, ServersScript, text};

static PROVIDERS: ServersScript = ServersScript::new("issuers.mjs");

/// A running provider.
#[derive(Debug)]
pub struct OidcProvider {
    issuer: String,
    server: Server,
}

/// A token to mint. Unless claims say otherwise it is issued now, valid from ten seconds ago, for five
/// minutes, signed with the current key; it has no `aud`, `sub` or `jti` unless set.
#[derive(Debug, Clone)]
pub struct Token {
    claims: Value,
    expires_in: i64,
    header: Value,
    signed_by: Key,
}

/// The provider's key that signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The newest key.
    Current,
    /// The key before the last rotation.
    Previous,
}

/// What happens to the keys from before a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKeys {
    /// They stay in the key set, as at a provider that rotates with an overlap.
    Kept,
    /// They leave the key set at once.
    Removed,
}

/// A failure of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It does not listen on its port.
    Refused,
    /// It accepts the request and never answers.
    Silent,
    /// It answers 503.
    Error,
}

/// Numbers of requests to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetches {
    /// Requests for the discovery document.
    pub discovery: u64,
    /// Requests for the key set.
    pub jwks: u64,
}

impl Token {
    /// Sets these claims, over the provider's own; a claim that is `null` is left out.
    pub fn with_claims(claims: Value) -> Self {
        Self { claims, expires_in: 300, header: json!({}), signed_by: Key::Current }
    }

    /// Sets this audience, a string or a list.
    pub fn audience(mut self, audience: impl Into<Value>) -> Self {
        if let Some(claims) = self.claims.as_object_mut() {
            claims.insert("aud".into(), audience.into());
        }
        self
    }

    /// Sets the seconds to expiry; negative: it has expired.
    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.expires_in = seconds;
        self
    }

    /// Sets these header fields, over the provider's own; `alg` remains the key's own.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(header) = self.header.as_object_mut() {
            header.insert(name.into(), value.into());
        }
        self
    }

    /// Signs with this key.
    pub fn signed_by(mut self, key: Key) -> Self {
        self.signed_by = key;
        self
    }
}

impl OidcProvider {
    /// Starts a provider that signs RS256. Needs Node and `npm ci`, which `cargo xtask test` runs.
    pub fn start() -> Result<Self> {
        let (server, reply) =
            PROVIDERS.start_server(&json!({})).context("the OIDC provider did not start")?;
        Ok(Self { issuer: text(&reply, "issuer")?, server })
    }

    /// The provider's `iss`, an `http://127.0.0.1:PORT`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Mints a token that the provider signs.
    pub fn mint(&self, token: &Token) -> Result<String> {
        let signed_by = match token.signed_by {
            Key::Current => "current",
            Key::Previous => "previous",
        };
        let answer = self.server.order(
            "mint",
            &json!({
                "claims": token.claims,
                "expires_in": token.expires_in,
                "header": token.header,
                "signed_by": signed_by,
            }),
        )?;
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
        let answer = self.server.order("rotate", &json!({"algorithm": algorithm, "old_keys": old_keys}))?;
        text(&answer, "kid")
    }

    /// Fails in this way until [`OidcProvider::answer_again`]. Minting still works.
    pub fn stop_answering(&self, how: Outage) -> Result<()> {
        let kind = match how {
            Outage::Refused => "refused",
            Outage::Silent => "silent",
            Outage::Error => "error",
        };
        self.server.order("outage", &json!({"kind": kind})).map(drop)
    }

    /// Answers again, on the same port.
    pub fn answer_again(&self) -> Result<()> {
        self.server.order("outage", &json!({"kind": "none"})).map(drop)
    }

    /// The numbers of requests since the start.
    pub fn fetches(&self) -> Result<Fetches> {
        let answer = self.server.order("counts", &json!({}))?;
        let count = |what: &str| answer.get(what).and_then(Value::as_u64).context("a count is missing");
        Ok(Fetches { discovery: count("discovery")?, jwks: count("jwks")? })
    }
}
