//! Calls about standing approvals.

use protocol::standing_approvals::{NewStandingApproval, StandingApproval, StandingApprovalList};
use protocol::{IdempotencyKey, StandingApprovalId, routes};
use reqwest::Method;

use super::{Client, RetryPolicy};
use crate::error::Error;

impl Client {
    /// Approves requests of an agent in advance. With the same key, one that is sent twice is made once.
    pub async fn approve_in_advance(
        &self,
        new: &NewStandingApproval,
        key: &IdempotencyKey,
        policy: RetryPolicy,
    ) -> Result<StandingApproval, Error> {
        let call = self.call(Method::POST, routes::STANDING_APPROVALS)?.key(key).json(new)?;
        self.answer(policy, &call).await
    }

    /// Lists the standing approvals in force, newest first.
    pub async fn standing_approvals(&self, policy: RetryPolicy) -> Result<StandingApprovalList, Error> {
        self.answer(policy, &self.call(Method::GET, routes::STANDING_APPROVALS)?).await
    }

    /// Ends a standing approval, and withdraws its votes for requests that still wait.
    pub async fn revoke_standing_approval(
        &self,
        id: &StandingApprovalId,
        policy: RetryPolicy,
    ) -> Result<StandingApproval, Error> {
        let call = self.call(Method::DELETE, &format!("{}/{id}", routes::STANDING_APPROVALS))?;
        self.answer(policy, &call).await
    }
}
