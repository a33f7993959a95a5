//! Calls about the session of a person.

use protocol::people::{ExchangeCode, NewSession, SessionList, SessionState, SessionsEnded};
use protocol::{Secret, routes};
use reqwest::Method;

use super::{Client, RetryPolicy, attempts};
use crate::error::Error;

impl Client {
    /// Exchanges the code of a sign-in for its session. A code is accepted once, so an answer that is lost needs another sign-in.
    pub async fn exchange_code(
        &self,
        code: Secret,
        verifier: Secret,
        policy: RetryPolicy,
    ) -> Result<NewSession, Error> {
        let call = self.call(Method::POST, routes::SESSIONS)?.json(&ExchangeCode { code, verifier })?;
        self.answer(policy, &call).await
    }

    /// Lists the open sessions of every person.
    pub async fn sessions(&self, policy: RetryPolicy) -> Result<SessionList, Error> {
        self.answer(policy, &self.call(Method::GET, routes::SESSIONS)?).await
    }

    /// Ends every session of the person with this subject.
    pub async fn end_sessions_of(&self, subject: &str, policy: RetryPolicy) -> Result<SessionsEnded, Error> {
        let call = self.call(Method::DELETE, routes::SESSIONS)?.query("subject", subject);
        self.answer(policy, &call).await
    }

    /// Reads the session whose token this client has.
    pub async fn session(&self, policy: RetryPolicy) -> Result<SessionState, Error> {
        self.answer(policy, &self.call(Method::GET, &current())?).await
    }

    /// Ends the session whose token this client has.
    pub async fn end_session(&self, policy: RetryPolicy) -> Result<(), Error> {
        let answer = attempts::send(self, policy, &self.call(Method::DELETE, &current())?).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refusal(self)) }
    }
}

fn current() -> String {
    format!("{}/current", routes::SESSIONS)
}
