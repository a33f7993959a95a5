//! An operator's calls about agents.

use protocol::agents::{
    Agent, AgentList, Applied, CheckRegistration, Disabled, RegistrationChecked, RotateRequest, Rotated,
};
use protocol::{AgentId, Ttl, routes};
use reqwest::Method;

use super::{Client, RetryPolicy, attempts};
use crate::error::Error;

/// What an application of a registration does with an agent that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfRegistered {
    /// Replaces its registration.
    Replace,
    /// Fails.
    Refuse,
}

impl Client {
    /// Applies a registration file. The broker reads the agent's id from it.
    pub async fn apply(
        &self,
        registration: &str,
        existing: IfRegistered,
        policy: RetryPolicy,
    ) -> Result<Applied, Error> {
        let call =
            self.call(Method::POST, routes::AGENTS)?.text(routes::REGISTRATION_MEDIA_TYPE, registration);
        let call = match existing {
            IfRegistered::Replace => call.query("replace", "true"),
            IfRegistered::Refuse => call,
        };
        self.answer(policy, &call).await
    }

    /// Checks a registration, and tries its trust rules.
    pub async fn check_registration(
        &self,
        request: &CheckRegistration,
        policy: RetryPolicy,
    ) -> Result<RegistrationChecked, Error> {
        self.answer(policy, &self.call(Method::POST, routes::CHECK_REGISTRATION)?.json(request)?).await
    }

    /// Lists one page of agents.
    pub async fn agents(&self, after: Option<&AgentId>, policy: RetryPolicy) -> Result<AgentList, Error> {
        let first = self.call(Method::GET, routes::AGENTS)?.query("limit", "100");
        let call = match after {
            Some(after) => first.query("after", after.as_str()),
            None => first,
        };
        self.answer(policy, &call).await
    }

    /// Reads one agent.
    pub async fn agent(&self, id: &AgentId, policy: RetryPolicy) -> Result<Agent, Error> {
        self.answer(policy, &self.call(Method::GET, &format!("{}/{id}", routes::AGENTS))?).await
    }

    /// Disables an agent, which ends its grants.
    pub async fn disable(&self, id: &AgentId, policy: RetryPolicy) -> Result<Disabled, Error> {
        let path = format!("{}/{id}/disable", routes::AGENTS);
        self.answer(policy, &self.call(Method::POST, &path)?).await
    }

    /// Enables an agent.
    pub async fn enable(&self, id: &AgentId, policy: RetryPolicy) -> Result<Agent, Error> {
        let path = format!("{}/{id}/enable", routes::AGENTS);
        self.answer(policy, &self.call(Method::POST, &path)?).await
    }

    /// Issues a new auth token. The old ones stay valid for `overlap`.
    pub async fn rotate_token(
        &self,
        id: &AgentId,
        overlap: Option<Ttl>,
        policy: RetryPolicy,
    ) -> Result<Rotated, Error> {
        let path = format!("{}/{id}/tokens", routes::AGENTS);
        let call = self.call(Method::POST, &path)?.json(&RotateRequest { overlap })?;
        self.answer(policy, &call).await
    }

    /// Revokes one auth token by its id.
    pub async fn revoke_token(&self, id: &AgentId, token: &str, policy: RetryPolicy) -> Result<(), Error> {
        let path = format!("{}/{id}/tokens/{token}", routes::AGENTS);
        let answer = attempts::send(self, policy, &self.call(Method::DELETE, &path)?).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refusal(self)) }
    }
}
