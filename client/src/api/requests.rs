//! Calls about requests that wait for approval.

use protocol::approvals::{ApprovalRequest, RequestList, Vote};
use protocol::{GrantId, routes};
use reqwest::Method;

use super::{Client, RetryPolicy};
use crate::error::Error;

impl Client {
    /// Lists a page of the requests that wait, newest first.
    pub async fn requests(&self, after: Option<&GrantId>, policy: RetryPolicy) -> Result<RequestList, Error> {
        let mut call = self.call(Method::GET, routes::REQUESTS)?;
        if let Some(after) = after {
            call = call.query("after", after.as_str());
        }
        self.answer(policy, &call).await
    }

    /// Reads one request.
    pub async fn request(&self, id: &GrantId, policy: RetryPolicy) -> Result<ApprovalRequest, Error> {
        let call = self.call(Method::GET, &format!("{}/{id}", routes::REQUESTS))?;
        self.answer(policy, &call).await
    }

    /// Votes for or against a request. A vote that is sent twice counts once.
    pub async fn vote(
        &self,
        id: &GrantId,
        vote: &Vote,
        policy: RetryPolicy,
    ) -> Result<ApprovalRequest, Error> {
        let path = format!("{}/{id}/{}", routes::REQUESTS, routes::VOTES);
        let call = self.call(Method::POST, &path)?.json(vote)?;
        self.answer(policy, &call).await
    }
}
