//! `[notify.NAME]`: where persons are told of requests that wait for approval.

use std::path::{Path, PathBuf};

use anyhow::Context;
use notify::{Channel, DEFAULT_CONTENT_TYPE, Form, Http, Signatures, TIMEOUT, Template};
use protocol::{ChannelName, Secret};
use serde::Deserialize;

/// `[notify.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyConfig {
    /// The form of the messages.
    pub kind: Kind,
    /// The address that messages are posted to.
    #[serde(default)]
    pub url: Option<String>,
    /// A file with the address and nothing else, where the address is a secret.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// Of a `webhook`: a file with the secrets that sign, one on each line.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Of a `template`: the file with the template of the body.
    #[serde(default)]
    pub template: Option<PathBuf>,
    /// Of a `template`: the content type of the body.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Certificates (PEM) of private CAs of the receiver.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Globs of the agents whose requests are told.
    #[serde(default = "every_agent")]
    pub agents: Vec<String>,
}

/// The form of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Standard Webhooks.
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// A template.
    Template,
}

fn every_agent() -> Vec<String> {
    vec!["*".to_owned()]
}

impl NotifyConfig {
    /// Checks which keys are there.
    pub(super) fn check(&self, name: &ChannelName) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.url.is_some() != self.url_file.is_some(),
            "`notify.{name}`: expected one of `url` and `url_file`"
        );
        for (key, is_there, kind) in [
            ("secret_file", self.secret_file.is_some(), Kind::Webhook),
            ("template", self.template.is_some(), Kind::Template),
        ] {
            anyhow::ensure!(
                is_there == (self.kind == kind),
                "`notify.{name}.{key}`: expected with kind `{}`, and with no other",
                match kind {
                    Kind::Webhook => "webhook",
                    Kind::Slack => "slack",
                    Kind::Template => "template",
                }
            );
        }
        anyhow::ensure!(
            self.content_type.is_none() || self.kind == Kind::Template,
            "`notify.{name}.content_type`: expected with kind `template`, and with no other"
        );
        anyhow::ensure!(!self.agents.is_empty(), "`notify.{name}.agents`: expected at least one glob");
        Ok(())
    }

    /// The files that the table names.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        [&self.url_file, &self.secret_file, &self.template, &self.ca_file]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// As the engine takes it; reads the files.
    pub(super) fn read(&self, name: &ChannelName) -> anyhow::Result<Channel> {
        let at = |key: &str| format!("`notify.{name}.{key}`");
        let read = |key: &str, path: &Path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("{}: cannot read `{}`", at(key), path.display()))
        };
        let (url, key) = match (&self.url, &self.url_file) {
            (Some(url), _) => (url.clone(), "url"),
            (None, Some(file)) => (read("url_file", file)?, "url_file"),
            (None, None) => (String::new(), "url"),
        };
        let form = match self.kind {
            Kind::Webhook => {
                let text = self.secret_file.as_deref().map(|file| read("secret_file", file)).transpose()?;
                let text = Secret::new(text.unwrap_or_default());
                Form::Webhook(Signatures::parse(&text).with_context(|| at("secret_file"))?)
            }
            Kind::Slack => Form::Slack,
            Kind::Template => {
                let text = self.template.as_deref().map(|file| read("template", file)).transpose()?;
                let content_type = self.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE);
                let template = Template::parse(&text.unwrap_or_default(), content_type);
                Form::Template(Box::new(template.with_context(|| at("template"))?))
            }
        };
        let ca = self.ca_file.as_deref().map(|file| read("ca_file", file)).transpose()?;
        let http = Http::new(ca.as_deref().map(str::as_bytes), TIMEOUT).with_context(|| at("ca_file"))?;
        Channel::new(name.clone(), &self.agents, Secret::new(url.trim()), form, http).with_context(|| at(key))
    }
}
