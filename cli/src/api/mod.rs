//! How do we speak to the broker? One client, one connection that is kept open, one method per call.

mod agents;
mod attempts;
mod auth_token;
mod call;
mod gate;
mod grants;
mod network;
mod probe;
mod settings;
mod stepping;
#[cfg(test)]
mod tests;

use std::time::Duration;

use protocol::{
    Decision, ElevateRequest, Grant, GrantId, GrantStatus, IdempotencyKey, RevokeCause, Timeline, Ttl, routes,
};
use reqwest::{Client, Method, Url};
use tokio::time::{Instant, sleep};

pub(crate) use self::agents::Existing;
use self::attempts::Attempts;
pub(crate) use self::attempts::{Patience, http_date};
pub(crate) use self::auth_token::auth_token;
use self::call::Call;
pub(crate) use self::gate::Gate;
pub(crate) use self::grants::Life;
pub(crate) use self::network::{Connections, Network};
pub(crate) use self::settings::{Settings, agent_id, broker_url};
pub(crate) use self::stepping::{Beat, Renewed, Reported};
use crate::error::CliError;

/// The broker, as one agent or operator sees it.
pub(crate) struct Broker {
    settings: Settings,
    base: Url,
    kept: Client,
    gate: Option<Gate>,
}

/// Which grant is given back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Revocable<'a> {
    Id(&'a GrantId),
    /// Works also when the answer to elevate was lost.
    Key(&'a IdempotencyKey),
}

/// What the broker said to a revoke.
#[derive(Debug)]
pub(crate) enum Revoked {
    /// The permission is gone, verified.
    Gone(Box<Grant>),
    /// The broker has taken it over and goes on until it is gone.
    Accepted(Box<Grant>),
    /// The broker knows no such grant of this agent: nothing was given, or all of it is long gone.
    NothingThere,
}

impl Revoked {
    /// Whether the permission is gone. A cloud is read back some seconds later; what was taken away is away.
    pub(crate) fn is_confirmed(&self) -> bool {
        match self {
            Self::Gone(_) | Self::NothingThere => true,
            Self::Accepted(grant) => grant.status == GrantStatus::Verifying,
        }
    }
}

/// For how long to try to elevate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElevateLimits {
    pub(crate) answer: Ttl,
    pub(crate) approval: Ttl,
}

/// What a person may want to know while a call goes on.
#[derive(Debug)]
pub(crate) enum Notice<'a> {
    Retrying { why: &'a str, pause: Duration },
    WaitingForApproval(&'a Grant),
}

impl Patience {
    const ELEVATE_ATTEMPT: Duration = Duration::from_secs(10);
    const ATTEMPT: Duration = Duration::from_secs(4);

    /// For a read or a revoke that is tried until `overall` is over.
    pub(crate) fn within(overall: Duration) -> Self {
        Self { attempt: Self::ATTEMPT, overall }
    }

    fn elevate(overall: Duration) -> Self {
        Self { attempt: Self::ELEVATE_ATTEMPT, overall }
    }
}

impl Broker {
    pub(crate) fn new(settings: &Settings) -> Result<Self, CliError> {
        Self::build(settings, None)
    }

    /// One that dials at the first call, and sends nothing before `gate` is open.
    pub(crate) fn behind(gate: Gate, settings: &Settings) -> Result<Self, CliError> {
        Self::build(settings, Some(gate))
    }

    fn build(settings: &Settings, gate: Option<Gate>) -> Result<Self, CliError> {
        let base = Url::parse(&settings.url)
            .map_err(|_| CliError::usage(format!("`{}` is not a URL", settings.url)))?;
        let kept = settings.network.client_behind(gate.as_ref(), Connections::Kept)?;
        Ok(Self { settings: settings.clone(), base, kept, gate })
    }

    fn fresh(&self) -> Result<Client, CliError> {
        self.settings.network.client_behind(self.gate.as_ref(), Connections::Fresh)
    }

    /// The same broker by connections of its own, so that what is asked there keeps nothing waiting here.
    pub(crate) fn beside(&self) -> Result<Self, CliError> {
        Self::new(&self.settings)
    }

    /// The client that keeps its connection; also good for an identity provider.
    pub(crate) fn http(&self) -> &Client {
        &self.kept
    }

    /// Asks until there is an active grant with credentials, or a plain no. `make_request` is called for each
    /// try, so that each carries a fresh OIDC token where the platform can mint one. After an error that
    /// [`CliError::may_have_granted`], the caller gives back by `key`.
    pub(crate) async fn elevate(
        &self,
        key: &IdempotencyKey,
        mut make_request: impl AsyncFnMut() -> Result<ElevateRequest, CliError>,
        limits: ElevateLimits,
        mut notice: impl FnMut(Notice<'_>) + Send,
    ) -> Result<Grant, CliError> {
        let approval_deadline = Instant::now() + Duration::from(limits.approval);
        loop {
            let mut attempts = Attempts::begin(self, Patience::elevate(limits.answer.into()));
            let answer = loop {
                let body = attempts.in_time(make_request()).await?;
                let call = self.to(Method::POST, routes::GRANTS)?.key(key).json(&body)?;
                if let Some(answer) = attempts.try_once(&call, &mut notice).await? {
                    break answer;
                }
            };
            let grant: Grant = answer.read(self)?;
            match standing(&grant) {
                Standing::Active if grant.credentials.is_some() => return Ok(grant),
                Standing::Active => {
                    return Err(CliError::unexpected(format!(
                        "the broker says that `{}` is active and sends no credentials",
                        grant.id
                    )));
                }
                Standing::Coming => {
                    self.approved(grant, limits.approval, approval_deadline, &mut notice).await?
                }
                Standing::Ended => return Err(not_active(grant)),
            }
        }
    }

    /// Polls until the grant is active; its credentials are then fetched by sending elevate again.
    async fn approved(
        &self,
        mut grant: Grant,
        waited: Ttl,
        deadline: Instant,
        notice: &mut impl FnMut(Notice<'_>),
    ) -> Result<(), CliError> {
        let mut pause = Duration::from_millis(500);
        if grant.status == GrantStatus::PendingApproval {
            notice(Notice::WaitingForApproval(&grant));
        }
        loop {
            match standing(&grant) {
                Standing::Active => return Ok(()),
                Standing::Ended => return Err(not_active(grant)),
                Standing::Coming => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CliError::NotApproved { id: grant.id, waited });
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(Duration::from_secs(10));
            grant = self.grant(&grant.id, Patience::within(Duration::from_secs(30))).await?;
        }
    }

    /// What elevate would say; nothing is given or recorded.
    pub(crate) async fn dry_run(
        &self,
        body: &ElevateRequest,
        patience: Patience,
    ) -> Result<Decision, CliError> {
        let call = self.to(Method::POST, routes::GRANTS)?.with("dry_run", "true").json(body)?;
        self.answer(patience, &call).await
    }

    /// Gives back. A grant that has ended, and one that the broker does not know, are successes.
    pub(crate) async fn revoke(
        &self,
        which: Revocable<'_>,
        cause: RevokeCause,
        patience: Patience,
    ) -> Result<Revoked, CliError> {
        let path = match which {
            Revocable::Id(id) => format!("{}/{id}", routes::GRANTS),
            Revocable::Key(_) => routes::GRANTS.to_owned(),
        };
        let call = self.to(Method::DELETE, &path)?.with("cause", &cause.to_string());
        let call = match which {
            Revocable::Id(_) => call,
            Revocable::Key(key) => call.with("idempotency_key", key.as_str()),
        };
        let answer: Result<Grant, _> = self.answer(patience, &call).await;
        match answer {
            Ok(grant) if grant.status.is_final() => Ok(Revoked::Gone(Box::new(grant))),
            Ok(grant) => Ok(Revoked::Accepted(Box::new(grant))),
            // Only a broker's own word counts: a 404 from a wrong address says nothing of the grant.
            Err(CliError::Problem(problem)) if is_gone(&problem) => Ok(Revoked::NothingThere),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn grant(&self, id: &GrantId, patience: Patience) -> Result<Grant, CliError> {
        self.answer(patience, &self.to(Method::GET, &format!("{}/{id}", routes::GRANTS))?).await
    }

    pub(crate) async fn timeline(&self, id: &GrantId, patience: Patience) -> Result<Timeline, CliError> {
        self.answer(patience, &self.to(Method::GET, &format!("{}/{id}/timeline", routes::GRANTS))?).await
    }

    async fn answer<T: serde::de::DeserializeOwned>(
        &self,
        patience: Patience,
        call: &Call,
    ) -> Result<T, CliError> {
        attempts::send(self, patience, call).await?.read(self)
    }
}

fn is_gone(problem: &protocol::Problem) -> bool {
    problem.status == 410 || problem.known_code() == Some(protocol::ErrorCode::GrantNotFound)
}

fn not_active(grant: Grant) -> CliError {
    CliError::NotActive { id: grant.id, status: grant.status, reason: grant.end_reason }
}

enum Standing {
    Coming,
    Active,
    Ended,
}

fn standing(grant: &Grant) -> Standing {
    match grant.status {
        GrantStatus::PendingApproval | GrantStatus::Applying => Standing::Coming,
        GrantStatus::Active => Standing::Active,
        GrantStatus::Denied
        | GrantStatus::RollingBack
        | GrantStatus::Failed
        | GrantStatus::Revoking
        | GrantStatus::Verifying
        | GrantStatus::RevokeFailing
        | GrantStatus::Expired
        | GrantStatus::Revoked => Standing::Ended,
    }
}
