//! The broker's readiness and clock.

use protocol::Timestamp;
use reqwest::Method;

use super::attempts::http_date;
use super::{Client, RetryPolicy, attempts};
use crate::error::Error;

/// The answer to `/readyz`.
#[derive(Debug)]
pub struct Ready {
    /// The HTTP status: 200 if the broker is ready.
    pub status: u16,
    /// The broker's time.
    pub date: Option<Timestamp>,
}

impl Client {
    /// Reads whether the broker is ready.
    pub async fn ready(&self, policy: RetryPolicy) -> Result<Ready, Error> {
        let answer = attempts::send(self, policy, &self.call(Method::GET, "/readyz")?).await?;
        Ok(Ready { status: answer.status.as_u16(), date: answer.date.as_deref().and_then(http_date) })
    }
}
