//! Runs a receiver of webhooks that verifies their signatures with a library that we did not write.
//!
//! `tests/node/webhooks.mjs` uses npm's `standardwebhooks`. Dropping the handle ends the process, and so does the
//! end of the test that holds it.

use anyhow::Result;
use serde_json::{Value, json};

use crate::node_script::{NodeScript, text};

/// A running receiver.
#[derive(Debug)]
pub struct WebhookReceiver {
    url: String,
    script: NodeScript,
}

/// A message that arrived.
#[derive(Debug)]
pub struct Received {
    /// Whether the library accepts its signature.
    pub verified: bool,
    /// `webhook-id`, if it has one.
    pub id: Option<String>,
    /// The body, parsed.
    pub body: Value,
}

impl WebhookReceiver {
    /// Starts a receiver that knows this secret.
    pub fn start(secret: &str) -> Result<Self> {
        let mut script = NodeScript::start("webhooks.mjs", "")?;
        let answer = script.order(&json!({ "secret": secret }))?;
        Ok(Self { url: text(&answer, "url")?, script })
    }

    /// Where messages are posted to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits for the next message.
    pub fn next_message(&mut self) -> Result<Received> {
        let answer = self.script.order(&json!({}))?;
        Ok(Received {
            verified: answer.get("verified") == Some(&Value::Bool(true)),
            id: answer.get("id").and_then(Value::as_str).map(str::to_owned),
            body: serde_json::from_str(&text(&answer, "body")?)?,
        })
    }
}
