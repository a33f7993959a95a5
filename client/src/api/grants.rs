//! An operator's calls about grants.

use protocol::{GrantList, GrantQuery, routes};
use reqwest::Method;

use super::{Client, RetryPolicy};
use crate::error::Error;

impl Client {
    /// Lists one page of grants, newest first. It can be empty and have a next one.
    pub async fn grants(&self, query: &GrantQuery, policy: RetryPolicy) -> Result<GrantList, Error> {
        let mut call = self.call(Method::GET, routes::GRANTS)?.query("limit", "200");
        for (name, value) in query.filters() {
            call = call.query(name, &value);
        }
        if let Some(after) = &query.after {
            call = call.query("after", after.as_str());
        }
        self.answer(policy, &call).await
    }
}
