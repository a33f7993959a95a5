//! Is the broker there and ready, and what time is it there?

use protocol::Timestamp;
use reqwest::Method;

use super::{Broker, Patience, attempts, http_date};
use crate::error::CliError;

/// The answer to `/readyz`.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) status: u16,
    pub(crate) date: Option<Timestamp>,
}

impl Broker {
    pub(crate) async fn ready(&self, patience: Patience) -> Result<Ready, CliError> {
        let answer = attempts::send(self, patience, &self.to(Method::GET, "/readyz")?).await?;
        Ok(Ready { status: answer.status.as_u16(), date: answer.date.as_deref().and_then(http_date) })
    }
}
