//! What is asked for, again with each try?

use std::time::SystemTime;

use protocol::{AgentId, ElevateRequest, Timestamp};

use crate::api::agent_id;
use crate::args::Ask;
use crate::environment::Env;
use crate::error::CliError;
use crate::identity::{self, Files, Identity};

/// Whether the holder of the grant will beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// `run` does, for as long as its step runs.
    Promised,
}

/// Makes one request for each try, with a fresh OIDC token where the platform mints on demand.
pub(crate) struct Requests {
    identity: Option<Identity>,
    audience: String,
    agent_id: AgentId,
    ask: Ask,
    heartbeat: Heartbeat,
}

impl Requests {
    /// Finds the workload's identity; a platform that is here and misconfigured is an error.
    pub(crate) fn new(ask: &Ask, env: &Env, heartbeat: Heartbeat) -> Result<Self, CliError> {
        Ok(Self {
            agent_id: agent_id(env)?,
            identity: identity::detect(env, &Files::system())?,
            audience: identity::audience(env).to_owned(),
            ask: ask.clone(),
            heartbeat,
        })
    }

    /// Who asks.
    pub(crate) fn agent_id(&self) -> &AgentId {
        &self.agent_id
    }

    /// The next request.
    pub(crate) async fn make(&self, http: &reqwest::Client) -> Result<ElevateRequest, CliError> {
        let oidc_token = match &self.identity {
            Some(identity) => Some(identity.token(http, &self.audience, now()).await?),
            None => None,
        };
        Ok(ElevateRequest {
            agent_id: self.agent_id.clone(),
            oidc_token,
            policies: self.ask.policies.clone(),
            ttl: self.ask.ttl,
            target: self.ask.target.clone(),
            reason: self.ask.reason.clone(),
            heartbeat: self.heartbeat == Heartbeat::Promised,
            claimed: self.identity.as_ref().map(Identity::claimed).unwrap_or_default(),
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a token's expiry is checked here, at the edge of the program")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
