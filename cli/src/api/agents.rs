//! What does an operator ask of the broker?

use protocol::agents::{Agent, AgentList, Applied, Disabled, RotateRequest, Rotated};
use protocol::{AgentId, Ttl, routes};
use reqwest::{Method, header};

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
        let query: &[_] = match existing {
            Existing::Replace => &[("replace", "true")],
            Existing::Refuse => &[],
        };
        self.call(patience, Method::POST, routes::AGENTS, query, |request| {
            request
                .header(header::CONTENT_TYPE, routes::REGISTRATION_MEDIA_TYPE)
                .body(registration.to_owned())
        })
        .await
    }

    pub(crate) async fn agents(
        &self,
        after: Option<&AgentId>,
        patience: Patience,
    ) -> Result<AgentList, CliError> {
        let mut query = vec![("limit", "100")];
        query.extend(after.map(|after| ("after", after.as_str())));
        self.get(patience, routes::AGENTS, &query).await
    }

    pub(crate) async fn agent(&self, id: &AgentId, patience: Patience) -> Result<Agent, CliError> {
        self.get(patience, &format!("{}/{id}", routes::AGENTS), &[]).await
    }

    pub(crate) async fn disable(&self, id: &AgentId, patience: Patience) -> Result<Disabled, CliError> {
        let path = format!("{}/{id}/disable", routes::AGENTS);
        self.call(patience, Method::POST, &path, &[], |request| request).await
    }

    pub(crate) async fn enable(&self, id: &AgentId, patience: Patience) -> Result<Agent, CliError> {
        let path = format!("{}/{id}/enable", routes::AGENTS);
        self.call(patience, Method::POST, &path, &[], |request| request).await
    }

    pub(crate) async fn rotate_token(
        &self,
        id: &AgentId,
        overlap: Option<Ttl>,
        patience: Patience,
    ) -> Result<Rotated, CliError> {
        let path = format!("{}/{id}/tokens", routes::AGENTS);
        self.call(patience, Method::POST, &path, &[], |request| request.json(&RotateRequest { overlap }))
            .await
    }

    pub(crate) async fn revoke_token(
        &self,
        id: &AgentId,
        token: &str,
        patience: Patience,
    ) -> Result<(), CliError> {
        let path = format!("{}/{id}/tokens/{token}", routes::AGENTS);
        let answer = attempts::send(
            self,
            patience,
            async |client| self.request(client, Method::DELETE, &path, &[]),
            &mut |_| {},
        )
        .await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refusal(self)) }
    }
}
