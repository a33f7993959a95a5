//! The revoke call, by grant id or by idempotency key.

use std::time::Duration;

use protocol::{ErrorCode, Grant, GrantId, GrantStatus, IdempotencyKey, Problem, RevokeCause, routes};
use reqwest::Method;
use tokio::time::sleep;

use super::{Client, RetryPolicy};
use crate::error::Error;

/// How long a request that the client gave up may still take to reach the broker's store.
const LANDING: Duration = Duration::from_secs(1);

/// The name by which a grant is revoked.
#[derive(Debug, Clone, Copy)]
pub enum GrantRef<'a> {
    /// The grant's id.
    Id(&'a GrantId),
    /// The idempotency key, which works also when the answer to elevate was lost.
    Key(&'a IdempotencyKey),
}

/// The broker's answer to a revoke.
#[derive(Debug)]
pub enum Revoked {
    /// The access is gone, verified.
    Gone(Box<Grant>),
    /// The broker continues until the access is gone.
    Accepted(Box<Grant>),
    /// The broker knows no such grant of this agent.
    NotFound,
}

impl Revoked {
    /// Whether the access is gone. A target is read back some seconds after the access was removed.
    pub fn is_confirmed(&self) -> bool {
        match self {
            Self::Gone(_) | Self::NotFound => true,
            Self::Accepted(grant) => grant.status == GrantStatus::Verifying,
        }
    }
}

impl Client {
    /// Revokes a grant. A grant that has ended and a grant that the broker does not know are successes.
    pub async fn revoke(
        &self,
        grant: GrantRef<'_>,
        cause: RevokeCause,
        policy: RetryPolicy,
    ) -> Result<Revoked, Error> {
        self.send_revoke(grant, cause, None, policy).await
    }

    /// Revokes a grant as an operator or a person, who say why.
    pub async fn revoke_because(
        &self,
        id: &GrantId,
        because: Option<&str>,
        policy: RetryPolicy,
    ) -> Result<Revoked, Error> {
        self.send_revoke(GrantRef::Id(id), RevokeCause::Asked, because, policy).await
    }

    async fn send_revoke(
        &self,
        grant: GrantRef<'_>,
        cause: RevokeCause,
        because: Option<&str>,
        policy: RetryPolicy,
    ) -> Result<Revoked, Error> {
        let path = match grant {
            GrantRef::Id(id) => format!("{}/{id}", routes::GRANTS),
            GrantRef::Key(_) => routes::GRANTS.to_owned(),
        };
        let call = self.call(Method::DELETE, &path)?.query("cause", &cause.to_string());
        let call = match grant {
            GrantRef::Id(_) => call,
            GrantRef::Key(key) => {
                let call = call.query("idempotency_key", key.as_str());
                match &self.settings.break_glass_of {
                    Some(agent) => call.query("agent", agent.as_str()),
                    None => call,
                }
            }
        };
        let call = match because {
            Some(because) => call.query("because", because),
            None => call,
        };
        let answer: Result<Grant, _> = self.answer(policy, &call).await;
        match answer {
            Ok(grant) if grant.status.is_final() => Ok(Revoked::Gone(Box::new(grant))),
            Ok(grant) => Ok(Revoked::Accepted(Box::new(grant))),
            // Only the broker's problem document counts: a 404 from a wrong address says nothing about the grant.
            Err(Error::Problem(problem)) if is_gone(&problem) => Ok(Revoked::NotFound),
            Err(error) => Err(error),
        }
    }

    /// Revokes by key after an elevation that failed or was cancelled.
    ///
    /// "Not found" may mean that the elevate request has not arrived yet, so the revoke is repeated once after a
    /// second. A request that arrives after its revoke is refused.
    pub async fn revoke_elevation(
        &self,
        key: &IdempotencyKey,
        cause: RevokeCause,
        policy: RetryPolicy,
    ) -> Result<Revoked, Error> {
        match self.revoke(GrantRef::Key(key), cause, policy).await {
            Ok(Revoked::NotFound) => {
                sleep(LANDING).await;
                self.revoke(GrantRef::Key(key), cause, policy).await
            }
            first => first,
        }
    }
}

fn is_gone(problem: &Problem) -> bool {
    problem.status == 410 || problem.known_code() == Some(ErrorCode::GrantNotFound)
}
