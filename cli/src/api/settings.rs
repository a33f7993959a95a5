//! Which broker, and who are we to it?

use protocol::{AgentId, Secret, secret};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::auth_token::{self, auth_token};
use super::network::Network;
use crate::environment::Env;
use crate::error::CliError;

/// All that a [`super::Broker`] needs. Can be handed to another process, the bearer token with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) url: String,
    #[serde(serialize_with = "secret::on_the_wire")]
    pub(crate) bearer: Secret,
    pub(crate) network: Network,
}

impl Settings {
    /// For what an agent does: its auth token, its form checked before anybody is asked.
    pub(crate) fn for_agent(env: &Env) -> Result<Self, CliError> {
        Ok(Self { url: broker_url(env)?.into(), bearer: auth_token(env)?, network: Network::from_env(env) })
    }

    /// For what an operator does.
    pub(crate) fn for_operator(env: &Env) -> Result<Self, CliError> {
        let bearer = env.get("CLOUDANIX_OPERATOR_TOKEN").ok_or_else(|| {
            CliError::usage("`CLOUDANIX_OPERATOR_TOKEN` is not set")
                .with_hint("operator commands need the operator token of the broker")
        })?;
        Ok(Self {
            url: broker_url(env)?.into(),
            bearer: Secret::new(bearer),
            network: Network::from_env(env),
        })
    }

    /// For looking at grants: an operator sees those of every agent, an agent its own.
    pub(crate) fn for_reader(env: &Env) -> Result<Self, CliError> {
        match env.get("CLOUDANIX_OPERATOR_TOKEN") {
            Some(_) => Self::for_operator(env),
            None => Self::for_agent(env),
        }
    }

    /// For giving back: the agent's own grants with its own token; the operator's only where there is no other.
    pub(crate) fn for_revoke(env: &Env) -> Result<Self, CliError> {
        match env.get("CLOUDANIX_OPERATOR_TOKEN") {
            Some(_) if !auth_token::is_set(env) => Self::for_operator(env),
            Some(_) | None => Self::for_agent(env),
        }
    }
}

/// `CLOUDANIX_URL`: https, or http to this machine.
pub(crate) fn broker_url(env: &Env) -> Result<Url, CliError> {
    let text = env.get("CLOUDANIX_URL").ok_or_else(|| {
        CliError::usage("`CLOUDANIX_URL` is not set")
            .with_hint("set it to the address of your broker, like `https://jit.example.com`")
    })?;
    // What stands before an `@` may be a password.
    let shown: String = if text.contains('@') { "…".to_owned() } else { text.chars().take(200).collect() };
    let invalid = |why: &str| CliError::usage(format!("`CLOUDANIX_URL` is `{shown}`: {why}"));
    let mut url = Url::parse(text.trim())
        .map_err(|_| invalid("expected a URL").with_hint("like `https://jit.example.com`"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(CliError::usage("`CLOUDANIX_URL` holds a user name or password: expected none")
            .with_hint("credentials go into `CLOUDANIX_AUTH_TOKEN`"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("expected no `?` and no `#`"));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return Err(invalid("expected https: plain http would show the auth token to the network")
                .with_hint("use `https://…`; for a private certificate authority set `CLOUDANIX_CA_FILE`"));
        }
        _ => return Err(invalid("expected https")),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// `CLOUDANIX_AGENT_ID`, or its alias.
pub(crate) fn agent_id(env: &Env) -> Result<AgentId, CliError> {
    let named = |name| env.get(name).map(|value| (name, value));
    let (name, value) =
        named("CLOUDANIX_AGENT_ID").or_else(|| named("CLOUDANIX_AGENT_IDENTIFIER")).ok_or_else(|| {
            CliError::usage("`CLOUDANIX_AGENT_ID` is not set")
                .with_hint("set it to the id under which the agent is registered")
        })?;
    value.parse().map_err(|error| CliError::usage(format!("`{name}`: {error}")))
}
