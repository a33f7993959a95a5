//! Calls about break-glass, besides taking a grant ([`Client::elevate`]).

use protocol::break_glass::{CodeList, NewCodes, NewReview, SealedCodes};
use protocol::{BreakGlassCodeId, Grant, GrantId, GrantList, routes};
use reqwest::Method;

use super::{Client, RetryPolicy, attempts};
use crate::error::Error;

impl Client {
    /// Lists one page of the grants that were taken by break-glass, newest first.
    pub async fn break_glass_grants(
        &self,
        unreviewed: bool,
        after: Option<&GrantId>,
        policy: RetryPolicy,
    ) -> Result<GrantList, Error> {
        let mut call = self.call(Method::GET, routes::BREAK_GLASS)?.query("limit", "200");
        if unreviewed {
            call = call.query("unreviewed", "true");
        }
        if let Some(after) = after {
            call = call.query("after", after.as_str());
        }
        self.answer(policy, &call).await
    }

    /// Reviews a grant that another person took by break-glass.
    pub async fn review_break_glass(
        &self,
        id: &GrantId,
        review: &NewReview,
        policy: RetryPolicy,
    ) -> Result<Grant, Error> {
        let path = format!("{}/{id}/{}", routes::BREAK_GLASS, routes::REVIEW);
        self.answer(policy, &self.call(Method::POST, &path)?.json(review)?).await
    }

    /// Seals codes. Not repeated: the codes of an answer that is lost are lost too, and can be revoked.
    pub async fn seal_codes(&self, new: &NewCodes, policy: RetryPolicy) -> Result<SealedCodes, Error> {
        let call = self.call(Method::POST, routes::BREAK_GLASS_CODES)?.json(new)?;
        attempts::send_once(self, policy.overall, &call).await?.read(self)
    }

    /// Lists the sealed codes that have not expired, without the codes.
    pub async fn sealed_codes(&self, policy: RetryPolicy) -> Result<CodeList, Error> {
        self.answer(policy, &self.call(Method::GET, routes::BREAK_GLASS_CODES)?).await
    }

    /// Revokes a sealed code.
    pub async fn revoke_code(&self, id: &BreakGlassCodeId, policy: RetryPolicy) -> Result<(), Error> {
        let path = format!("{}/{id}", routes::BREAK_GLASS_CODES);
        let answer = attempts::send(self, policy, &self.call(Method::DELETE, &path)?).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refusal(self)) }
    }
}
