//! What does an operator ask of the broker?

use protocol::agents::{Agent, AgentList, Applied, Disabled, RotateRequest, Rotated};
use protocol::{AgentId, Ttl, routes};
use reqwest::Method;

use super::{Broker, Patience, attempts};
use crate::error::CliError;

/// What happens to an agent that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Replace,
    Refuse,
}

impl Broker {
    /// Sends a registration file as it is; the broker reads the agent's id from it.
    pub(crate) async fn apply(
        &self,
        registration: &str,
        existing: Existing,
        patience: Patience,
    ) -> Result<Applied, CliError> {
        let call = self.to(Method::POST, routes::AGENTS)?.text(routes::REGISTRATION_MEDIA_TYPE, registration);
        let call = match existing {
            Existing::Replace => call.with("replace", "true"),
            Existing::Refuse => call,
        };
        self.answer(patience, &call).await
    }

    pub(crate) async fn agents(
        &self,
        after: Option<&AgentId>,
        patience: Patience,
    ) -> Result<AgentList, CliError> {
        let first = self.to(Method::GET, routes::AGENTS)?.with("limit", "100");
        let call = match after {
            Some(after) => first.with("after", after.as_str()),
            None => first,
        };
        self.answer(patience, &call).await
    }

    pub(crate) async fn agent(&self, id: &AgentId, patience: Patience) -> Result<Agent, CliError> {
        self.answer(patience, &self.to(Method::GET, &format!("{}/{id}", routes::AGENTS))?).await
    }

    pub(crate) async fn disable(&self, id: &AgentId, patience: Patience) -> Result<Disabled, CliError> {
        let path = format!("{}/{id}/disable", routes::AGENTS);
        self.answer(patience, &self.to(Method::POST, &path)?).await
    }

    pub(crate) async fn enable(&self, id: &AgentId, patience: Patience) -> Result<Agent, CliError> {
        let path = format!("{}/{id}/enable", routes::AGENTS);
        self.answer(patience, &self.to(Method::POST, &path)?).await
    }

    pub(crate) async fn rotate_token(
        &self,
        id: &AgentId,
        overlap: Option<Ttl>,
        patience: Patience,
    ) -> Result<Rotated, CliError> {
        let path = format!("{}/{id}/tokens", routes::AGENTS);
        let call = self.to(Method::POST, &path)?.json(&RotateRequest { overlap })?;
        self.answer(patience, &call).await
    }

    pub(crate) async fn revoke_token(
        &self,
        id: &AgentId,
        token: &str,
        patience: Patience,
    ) -> Result<(), CliError> {
        let path = format!("{}/{id}/tokens/{token}", routes::AGENTS);
        let answer = attempts::send(self, patience, &self.to(Method::DELETE, &path)?).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refusal(self)) }
    }
}
