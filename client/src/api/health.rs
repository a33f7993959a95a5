//! What an operator should look at.

use protocol::health::Health;
use protocol::routes;
use reqwest::Method;

use super::{Client, RetryPolicy};
use crate::error::Error;

impl Client {
    /// Reads what an operator should look at.
    pub async fn health(&self, policy: RetryPolicy) -> Result<Health, Error> {
        self.answer(policy, &self.call(Method::GET, routes::HEALTH)?).await
    }
}
