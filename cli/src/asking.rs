//! What do we ask the broker for, and as whom?

use std::cell::Cell;

use protocol::{AgentId, ElevateRequest, ErrorCode, Facts, Grant, IdempotencyKey, PolicyName, Ttl};

use crate::api::{self, Broker, ElevateLimits, Notice};
use crate::args::Ask;
use crate::clock;
use crate::environment::Env;
use crate::error::CliError;
use crate::identity::{self, Files, Identity, IdentityError};
use crate::output::{Mark, Output};

/// One request, ready to be made as often as it is sent.
pub(crate) struct Asking {
    agent_id: AgentId,
    identity: Option<Identity>,
    /// Why there is none, where the platform's server is the reason.
    no_issuer: Cell<Option<IdentityError>>,
    claimed: Facts,
    audience: String,
    policies: Vec<PolicyName>,
    ttl: Ttl,
    target: Option<String>,
    reason: Option<String>,
    lease: Lease,
    sent: Cell<Sent>,
}

/// Whether the broker can have heard of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    NotYet,
    Perhaps,
}

/// Who says that the grant is still needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// We do, with heartbeats: the grant ends soon after we fall silent.
    Heartbeats,
    /// Nobody: it lives until it is given back or its deadline comes.
    DeadlineOnly,
}

impl Asking {
    /// Finds the agent and the workload's identity; nothing is fetched yet.
    pub(crate) fn new(
        policies: Vec<PolicyName>,
        ttl: Ttl,
        target: Option<String>,
        lease: Lease,
        env: &Env,
    ) -> Result<Self, CliError> {
        let agent_id = api::agent_id(env)?;
        let files = Files::system();
        let (identity, no_issuer) = identity::detect_or_none(env, &files)?;
        let claimed = identity.as_ref().map_or_else(|| identity::claimed(env, &files), Identity::claimed);
        Ok(Self {
            agent_id,
            identity,
            no_issuer: Cell::new(no_issuer),
            claimed,
            audience: identity::audience(env).to_owned(),
            policies,
            ttl,
            target,
            reason: None,
            lease,
            sent: Cell::new(Sent::NotYet),
        })
    }

    /// What `run` and `elevate` were told on the command line.
    pub(crate) fn from_args(ask: &Ask, lease: Lease, env: &Env) -> Result<Self, CliError> {
        let asking = Self::new(ask.policies.clone(), ask.ttl, ask.target.clone(), lease, env)?;
        Ok(Self { reason: ask.reason.clone(), ..asking })
    }

    pub(crate) fn agent_id(&self) -> &AgentId {
        &self.agent_id
    }

    /// The body, with a fresh OIDC token where the platform mints on demand.
    pub(crate) async fn request(&self, http: &reqwest::Client) -> Result<ElevateRequest, CliError> {
        let oidc_token = match &self.identity {
            Some(identity) => Some(identity.token(http, &self.audience, clock::now()).await?),
            None => None,
        };
        Ok(ElevateRequest {
            agent_id: self.agent_id.clone(),
            oidc_token,
            policies: self.policies.clone(),
            ttl: self.ttl,
            target: self.target.clone(),
            reason: self.reason.clone(),
            heartbeat: self.lease == Lease::Heartbeats,
            claimed: self.claimed.clone(),
        })
    }

    /// Whether an elevate that ended like this can have left a grant behind.
    pub(crate) fn may_have_granted(&self, error: &CliError) -> bool {
        self.sent.get() == Sent::Perhaps && error.may_have_granted()
    }

    /// That the agent needs a token does not help where the platform's server has none to give.
    fn in_the_platforms_words(&self, error: CliError) -> CliError {
        match (&error, self.no_issuer.take()) {
            (CliError::Problem(problem), Some(why))
                if problem.code == ErrorCode::OidcTokenMissing.as_str() =>
            {
                why.into()
            }
            (_, _) => error,
        }
    }

    /// Asks until there is a grant or a no, and tells what takes time.
    pub(crate) async fn elevate(
        &self,
        broker: &Broker,
        key: &IdempotencyKey,
        ask: &Ask,
        output: &Output,
    ) -> Result<Grant, CliError> {
        let limits = ElevateLimits { answer: ask.timeout, approval: ask.wait };
        let notice = |notice: Notice<'_>| match notice {
            Notice::Retrying { why, pause } => {
                let text = format!("{why} · trying again in {:.1}s", pause.as_secs_f64());
                output.line(Mark::Waiting, "elevate", &text);
            }
            Notice::WaitingForApproval(grant) => {
                let text = format!("waiting for approval · {} · up to {}", grant.id, limits.approval);
                output.line(Mark::Waiting, "elevate", &text);
            }
        };
        let make_request = async || {
            let request = self.request(broker.http()).await?;
            self.sent.set(Sent::Perhaps);
            Ok(request)
        };
        let answer = broker.elevate(key, make_request, limits, notice).await;
        let grant = answer.map_err(|error| self.in_the_platforms_words(error))?;
        let policies: Vec<&str> = grant.policies.iter().map(PolicyName::as_str).collect();
        output.line(
            Mark::Done,
            "elevate",
            &format!("policy attached · {} · {} · {}", policies.join(", "), grant.ttl, grant.id),
        );
        Ok(grant)
    }
}
