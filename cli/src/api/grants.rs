//! What does an operator ask about grants?

use protocol::{AgentId, GrantId, GrantList, routes};
use reqwest::Method;

use super::{Broker, Patience};
use crate::error::CliError;

/// Which grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Live,
    All,
}

impl Broker {
    /// A page of grants, newest first.
    pub(crate) async fn grants(
        &self,
        life: Life,
        agent: Option<&AgentId>,
        after: Option<&GrantId>,
        patience: Patience,
    ) -> Result<GrantList, CliError> {
        let mut call = self.to(Method::GET, routes::GRANTS)?.with("limit", "200");
        match life {
            Life::Live => call = call.with("state", "live"),
            Life::All => {}
        }
        if let Some(agent) = agent {
            call = call.with("agent", agent.as_str());
        }
        if let Some(after) = after {
            call = call.with("after", after.as_str());
        }
        self.answer(patience, &call).await
    }
}
