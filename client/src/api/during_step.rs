//! Calls while a step runs: heartbeats, new credentials, reports of actions.

use std::time::Duration;

use protocol::actions::{Action, ActionsReport};
use protocol::{Credentials, ErrorCode, Grant, GrantId, IdempotencyKey, Problem, routes};
use reqwest::Method;

use super::call::Call;
use super::{Client, RetryPolicy, attempts};
use crate::error::Error;

/// The broker's answer to a heartbeat.
#[derive(Debug)]
pub enum Heartbeat {
    /// The grant is live.
    Alive,
    /// The grant has ended, and why.
    Ended(String),
}

/// The broker's answer to a request for new credentials.
#[derive(Debug)]
pub enum Renewed {
    /// The new credentials.
    Credentials(Box<Credentials>),
    /// The grant has ended, and why.
    Ended(String),
}

/// The broker's answer to a report of actions.
#[derive(Debug)]
pub enum Reported {
    /// The actions are on the timeline.
    Accepted,
    /// The broker refuses this report for good, and why.
    Refused(String),
}

/// A step waits for its credentials, and the next report for this one.
const SHORT: Duration = Duration::from_secs(4);

impl Client {
    /// Sends one heartbeat. It is sent again only if the kept connection was closed.
    pub async fn heartbeat(&self, id: &GrantId, key: &IdempotencyKey) -> Result<Heartbeat, Error> {
        Ok(self.beat(id, key).await?.map_or_else(Heartbeat::Ended, |_| Heartbeat::Alive))
    }

    /// Sends one heartbeat, and returns the grant, or why it has ended.
    pub(super) async fn beat(
        &self,
        id: &GrantId,
        key: &IdempotencyKey,
    ) -> Result<Result<Grant, String>, Error> {
        let call = self.call(Method::POST, &format!("{}/{id}/heartbeat", routes::GRANTS))?.key(key);
        match self.answer(RetryPolicy::within(RetryPolicy::ATTEMPT), &call).await {
            Ok(grant) => Ok(Ok(grant)),
            Err(Error::Problem(problem)) if has_ended(&problem) => Ok(Err(problem.detail.clone())),
            Err(error) => Err(error),
        }
    }

    /// Requests credentials that last longer than the current ones.
    pub async fn renew(&self, id: &GrantId, key: &IdempotencyKey) -> Result<Renewed, Error> {
        let path = format!("{}/{id}/{}", routes::GRANTS, routes::CREDENTIALS);
        let call = self.call(Method::POST, &path)?.key(key);
        let answer: Result<Grant, _> = self.answer(RetryPolicy::within(SHORT), &call).await;
        match answer {
            Ok(Grant { credentials: Some(credentials), .. }) => {
                Ok(Renewed::Credentials(Box::new(credentials)))
            }
            Ok(grant) => {
                Err(Error::unexpected(format!("the broker sends no credentials for `{}`", grant.id)))
            }
            Err(Error::Problem(problem)) if has_ended(&problem) => Ok(Renewed::Ended(problem.detail.clone())),
            Err(error) => Err(error),
        }
    }

    /// Puts actions of the step on the grant's timeline.
    pub async fn report(
        &self,
        id: &GrantId,
        key: &IdempotencyKey,
        actions: Vec<Action>,
    ) -> Result<Reported, Error> {
        let path = format!("{}/{id}/actions", routes::GRANTS);
        let call = self.call(Method::POST, &path)?.key(key).json(&ActionsReport { actions })?;
        self.reported(RetryPolicy::within(SHORT), &call).await
    }

    /// Sends a report, and tells a refusal from a failure.
    pub(super) async fn reported(&self, policy: RetryPolicy, call: &Call) -> Result<Reported, Error> {
        let answer = attempts::send(self, policy, call).await?;
        if answer.status.is_success() {
            return Ok(Reported::Accepted);
        }
        match answer.problem() {
            Some(problem) if problem.status < 500 && problem.status != 429 => {
                Ok(Reported::Refused(problem.detail))
            }
            Some(_) | None => Err(answer.refusal(self)),
        }
    }
}

/// Whether the problem says that the grant has ended. An unknown route says nothing about the grant.
fn has_ended(problem: &Problem) -> bool {
    matches!(problem.status, 404 | 409 | 410) && problem.known_code() != Some(ErrorCode::RouteNotFound)
}
