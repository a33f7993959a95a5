//! An operator's calls about grants.

use protocol::{AgentId, GrantId, GrantList, routes};
use reqwest::Method;

use super::{Client, RetryPolicy};
use crate::error::Error;

/// Which grants to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantFilter {
    /// Grants that have not ended.
    Live,
    /// Every grant.
    All,
}

impl Client {
    /// Lists one page of grants, newest first.
    pub async fn grants(
        &self,
        filter: GrantFilter,
        agent: Option<&AgentId>,
        after: Option<&GrantId>,
        policy: RetryPolicy,
    ) -> Result<GrantList, Error> {
        let mut call = self.call(Method::GET, routes::GRANTS)?.query("limit", "200");
        match filter {
            GrantFilter::Live => call = call.query("state", "live"),
            GrantFilter::All => {}
        }
        if let Some(agent) = agent {
            call = call.query("agent", agent.as_str());
        }
        if let Some(after) = after {
            call = call.query("after", after.as_str());
        }
        self.answer(policy, &call).await
    }
}
