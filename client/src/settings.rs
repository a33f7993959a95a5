//! The settings of a client: the broker's address, the bearer token, the network.

use protocol::{AgentId, Secret, secret};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::api::Network;
use crate::auth_token::{AuthTokenRead, auth_token, auth_token_is_set};
use crate::environment::Env;
use crate::error::Error;

/// Everything that a [`crate::Client`] needs. Serializes with the bearer token, for another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The broker's address, with a slash at its end.
    pub url: String,
    /// The auth token of an agent, the token of an operator, or that of a person's session.
    #[serde(serialize_with = "secret::on_the_wire")]
    pub bearer: Secret,
    /// The agent of whose grants a person takes one by break-glass: a revoke by key names it. Of other bearers the broker
    /// knows the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass_of: Option<AgentId>,
    /// Trusted roots and the proxy.
    pub network: Network,
    /// What the caller should tell the user about the settings.
    #[serde(skip)]
    pub warnings: Vec<Warning>,
}

impl Settings {
    /// The settings for an agent's calls, with its auth token. The form of the token is checked.
    pub fn for_agent(env: &Env) -> Result<Self, Error> {
        let url = broker_url(env)?.into();
        let AuthTokenRead { token, warning } = auth_token(env)?;
        Ok(Self {
            url,
            bearer: token,
            break_glass_of: None,
            network: Network::from_env(env),
            warnings: warning.into_iter().collect(),
        })
    }

    /// The settings for an operator's calls.
    pub fn for_operator(env: &Env) -> Result<Self, Error> {
        let bearer = env.get("CLOUDANIX_OPERATOR_TOKEN").ok_or_else(|| {
            Error::settings("`CLOUDANIX_OPERATOR_TOKEN` is not set")
                .with_hint("sign in with `cloudanix-jit login`, or set the operator token of the broker")
        })?;
        Ok(Self {
            url: broker_url(env)?.into(),
            bearer: Secret::new(bearer),
            break_glass_of: None,
            network: Network::from_env(env),
            warnings: Vec::new(),
        })
    }

    /// The settings for reading grants: an operator's token if there is one, because it reads every agent's grants.
    pub fn for_reader(env: &Env) -> Result<Self, Error> {
        match env.get("CLOUDANIX_OPERATOR_TOKEN") {
            Some(_) => Self::for_operator(env),
            None => Self::for_agent(env),
        }
    }

    /// The settings for a revoke: the agent's own token if there is one, else the operator's.
    pub fn for_revoke(env: &Env) -> Result<Self, Error> {
        match env.get("CLOUDANIX_OPERATOR_TOKEN") {
            Some(_) if !auth_token_is_set(env) => Self::for_operator(env),
            Some(_) | None => Self::for_agent(env),
        }
    }
}

/// Advice for the user that is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What happened.
    pub what: String,
    /// What to do.
    pub hint: &'static str,
}

/// The broker's address from `CLOUDANIX_URL`: https, or http to this machine.
pub fn broker_url(env: &Env) -> Result<Url, Error> {
    let text = env.get("CLOUDANIX_URL").ok_or_else(|| {
        Error::settings("`CLOUDANIX_URL` is not set")
            .with_hint("set it to the address of your broker, like `https://jit.example.com`")
    })?;
    // The text before an `@` may be a password.
    let shown: String = if text.contains('@') { "…".to_owned() } else { text.chars().take(200).collect() };
    let invalid = |why: &str| Error::settings(format!("`CLOUDANIX_URL` is `{shown}`: {why}"));
    let mut url = Url::parse(text.trim())
        .map_err(|_| invalid("expected a URL").with_hint("like `https://jit.example.com`"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::settings("`CLOUDANIX_URL` holds a user name or password: expected none")
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

/// The agent's id from `CLOUDANIX_AGENT_ID` or its alias.
pub fn agent_id(env: &Env) -> Result<AgentId, Error> {
    let named = |name| env.get(name).map(|value| (name, value));
    let (name, value) =
        named("CLOUDANIX_AGENT_ID").or_else(|| named("CLOUDANIX_AGENT_IDENTIFIER")).ok_or_else(|| {
            Error::settings("`CLOUDANIX_AGENT_ID` is not set")
                .with_hint("set it to the id under which the agent is registered")
        })?;
    value.parse().map_err(|error| Error::settings(format!("`{name}`: {error}")))
}
