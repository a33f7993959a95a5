//! What do we and the broker say to each other while a step runs?

use std::time::Duration;

use protocol::actions::{Action, ActionsReport};
use protocol::{Credentials, ErrorCode, Grant, GrantId, IdempotencyKey, Problem, routes};
use reqwest::Method;

use super::{Broker, Patience, attempts};
use crate::error::CliError;

/// What the broker said to a heartbeat.
#[derive(Debug)]
pub(crate) enum Beat {
    Alive,
    /// The grant has ended, and why.
    Ended(String),
}

/// What the broker said when it was asked for credentials once more.
#[derive(Debug)]
pub(crate) enum Renewed {
    /// These are new.
    Credentials(Box<Credentials>),
    /// There are no more: the grant has ended, and why.
    Ended(String),
}

/// What the broker said to a report of actions.
#[derive(Debug)]
pub(crate) enum Reported {
    Taken,
    /// It will not take this report however often it is sent, and why.
    Refused(String),
}

/// A step that waits for its keys, or a report that holds up the next, is worth no long wait.
const SHORT: Duration = Duration::from_secs(4);

impl Broker {
    /// One beat, tried once (and once more at once if the kept connection was dead).
    pub(crate) async fn heartbeat(&self, id: &GrantId, key: &IdempotencyKey) -> Result<Beat, CliError> {
        let call = self.to(Method::POST, &format!("{}/{id}/heartbeat", routes::GRANTS))?.key(key);
        let answer: Result<Grant, _> = self.answer(Patience::within(Patience::ATTEMPT), &call).await;
        match answer {
            Ok(_) => Ok(Beat::Alive),
            Err(CliError::Problem(problem)) if has_ended(&problem) => Ok(Beat::Ended(problem.detail.clone())),
            Err(error) => Err(error),
        }
    }

    /// Credentials that last longer than those that are there.
    pub(crate) async fn renew(&self, id: &GrantId, key: &IdempotencyKey) -> Result<Renewed, CliError> {
        let path = format!("{}/{id}/{}", routes::GRANTS, routes::CREDENTIALS);
        let call = self.to(Method::POST, &path)?.key(key);
        let answer: Result<Grant, _> = self.answer(Patience::within(SHORT), &call).await;
        match answer {
            Ok(Grant { credentials: Some(credentials), .. }) => {
                Ok(Renewed::Credentials(Box::new(credentials)))
            }
            Ok(grant) => {
                Err(CliError::unexpected(format!("the broker sends no credentials for `{}`", grant.id)))
            }
            Err(CliError::Problem(problem)) if has_ended(&problem) => {
                Ok(Renewed::Ended(problem.detail.clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// What the step was seen to do.
    pub(crate) async fn report(
        &self,
        id: &GrantId,
        key: &IdempotencyKey,
        actions: Vec<Action>,
    ) -> Result<Reported, CliError> {
        let path = format!("{}/{id}/actions", routes::GRANTS);
        let call = self.to(Method::POST, &path)?.key(key).json(&ActionsReport { actions })?;
        let answer = attempts::send(self, Patience::within(SHORT), &call).await?;
        if answer.status.is_success() {
            return Ok(Reported::Taken);
        }
        match answer.problem() {
            Some(problem) if problem.status < 500 && problem.status != 429 => {
                Ok(Reported::Refused(problem.detail))
            }
            Some(_) | None => Err(answer.refusal(self)),
        }
    }
}

/// A broker that does not know the path says nothing of the grant.
fn has_ended(problem: &Problem) -> bool {
    matches!(problem.status, 404 | 409 | 410) && problem.known_code() != Some(ErrorCode::RouteNotFound)
}
