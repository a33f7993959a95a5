//! Sends messages to the channels of the configuration: signed webhooks, Slack, and bodies from templates.
//!
//! A message tells of requests that wait; no answer to it and no link in it decides anything. An answer's body is not
//! read, and a redirect is not followed.

use std::fmt;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use http::{HeaderName, Request, Uri, header};
use protocol::notifications::Message;
use protocol::{AgentId, ChannelName, NotificationId, Secret};

mod sample;
mod slack;
mod template;
mod webhook;

pub use outbound::Http;
pub use template::{DEFAULT_CONTENT_TYPE, Template};
pub use webhook::Signatures;

/// Time limit of an attempt.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a channel cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum InvalidChannel {
    /// Not an address to which secrets may be sent.
    #[error("expected an https URL (plain http only for a loopback address), without user or fragment")]
    Url,
    /// Not a pattern of agents.
    #[error("expected globs of agent ids, found `{0}`")]
    Agents(String),
    /// The key of signatures has another form.
    #[error("line {0}: expected `whsec_` and 24 to 64 bytes in base64, as Standard Webhooks write a secret")]
    Secret(usize),
    /// There is no key.
    #[error("expected a secret on a line, found none")]
    NoSecret,
    /// The template cannot be parsed, or fails for an example.
    #[error("{0}")]
    Template(String),
}

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSent {
    /// In words, without the address.
    pub why: String,
    /// How long the receiver asks to wait.
    pub retry_after: Option<Duration>,
}

/// How a message is written for its receiver.
#[derive(Debug)]
pub enum Form {
    /// A signed webhook, as in the specification of Standard Webhooks.
    Webhook(Signatures),
    /// An incoming webhook of Slack.
    Slack,
    /// A body from a template.
    Template(Box<Template>),
}

/// Where messages go.
pub struct Channel {
    name: ChannelName,
    agents: GlobSet,
    /// A secret: Slack's address is all that it takes to write to the channel.
    url: Secret,
    form: Form,
    http: Http,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Channel {
    /// `agents` are globs of the agents whose requests are told.
    pub fn new(
        name: ChannelName,
        agents: &[String],
        url: Secret,
        form: Form,
        http: Http,
    ) -> Result<Self, InvalidChannel> {
        check_url(url.reveal())?;
        let mut globs = GlobSetBuilder::new();
        for agent in agents {
            let invalid = |_| InvalidChannel::Agents(agent.clone());
            globs.add(Glob::new(agent).map_err(invalid)?);
        }
        let agents = globs.build().map_err(|_| InvalidChannel::Agents(agents.join(", ")))?;
        Ok(Self { name, agents, url, form, http })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Whether it is told of requests of this agent.
    pub fn is_for(&self, agent: &AgentId) -> bool {
        self.agents.is_match(agent.as_str())
    }

    /// Sends a message once. Every attempt of a notification has the notification's id.
    pub async fn send(&self, id: &NotificationId, message: &Message) -> Result<(), NotSent> {
        let not_sent = |why: String| NotSent { why, retry_after: None };
        let request = self.request(id, message).map_err(not_sent)?;
        let answer = self.http.send_and_ignore_body(request).await.map_err(not_sent)?;
        let status = answer.status;
        if status.is_success() {
            return Ok(());
        }
        let why = match status.is_redirection() {
            true => format!("answered with status {}: redirects are not followed", status.as_u16()),
            false => format!("answered with status {}: expected 200 to 299", status.as_u16()),
        };
        Err(NotSent { why, retry_after: retry_after(&answer.headers) })
    }

    fn request(&self, id: &NotificationId, message: &Message) -> Result<Request<Vec<u8>>, String> {
        let mut request = Request::post(self.url.reveal());
        let (body, content_type) = match &self.form {
            Form::Webhook(signatures) => {
                let body = serde_json::to_vec(message).map_err(|error| error.to_string())?;
                for (name, value) in signatures.headers(id, message.timestamp, &body) {
                    request = request.header(HeaderName::from_static(name), value);
                }
                (body, "application/json")
            }
            Form::Slack => (slack::body(message).to_string().into_bytes(), "application/json"),
            Form::Template(template) => (template.render(message)?.into_bytes(), template.content_type()),
        };
        request.header(header::CONTENT_TYPE, content_type).body(body).map_err(|error| error.to_string())
    }
}

fn check_url(url: &str) -> Result<(), InvalidChannel> {
    let parsed: Uri = url.parse().map_err(|_| InvalidChannel::Url)?;
    let authority = parsed.authority().ok_or(InvalidChannel::Url)?.as_str();
    let is_protected = match parsed.scheme_str() {
        Some("https") => true,
        Some("http") => domain::registration::is_loopback(authority),
        Some(_) | None => false,
    };
    if is_protected && !authority.contains('@') && !url.contains('#') {
        Ok(())
    } else {
        Err(InvalidChannel::Url)
    }
}

/// In seconds; a date is ignored.
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_over_https_or_stay_on_this_machine() {
        for url in [
            "https://hooks.example.com/a?b=c",
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://localhost/x",
        ] {
            assert!(check_url(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "/hook",
            "http://hooks.example.com/",
            "https://u:p@example.com/",
            "https://example.com/#a",
            "ftp://127.0.0.1/",
            "http://127.0.0.1.example.com/",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_glob_that_cannot_be_read_is_named() {
        let http = Http::new(None, TIMEOUT).unwrap();
        let agents = ["prod-*".to_owned(), "[".to_owned()];
        let (name, url) = ("team".parse().unwrap(), Secret::new("https://example.com/"));
        let error = Channel::new(name, &agents, url, Form::Slack, http).unwrap_err();
        assert_eq!(error.to_string(), "expected globs of agent ids, found `[`");
    }
}
