//! One elevation: what a workload requests, under which idempotency key, and whether it was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::break_glass::BreakGlassRequest;
use protocol::{AgentId, ElevateRequest, ErrorCode, Facts, IdempotencyKey, PolicyName, Ttl, routes};
use reqwest::Method;

use crate::api::{Call, Client};
use crate::environment::Env;
use crate::error::Error;
use crate::identity::{self, Files, Identity, IdentityError};
use crate::settings::agent_id;

/// The workload that elevates: the agent, its identity, and the facts of the run.
#[derive(Debug)]
pub struct Workload {
    agent_id: AgentId,
    identity: Option<Identity>,
    /// Why there is no identity, if the platform's server issues none.
    no_issuer: Option<IdentityError>,
    claimed: Facts,
    audience: String,
}

impl Workload {
    /// Reads the agent's id and finds the identity. No token is fetched yet.
    pub fn detect(env: &Env, files: &Files) -> Result<Self, Error> {
        let agent_id = agent_id(env)?;
        let (identity, no_issuer) = identity::detect_or_none(env, files)?;
        let claimed = identity.as_ref().map_or_else(|| identity::claimed(env, files), Identity::claimed);
        Ok(Self { agent_id, identity, no_issuer, claimed, audience: identity::audience(env).to_owned() })
    }

    /// The agent's id.
    pub fn agent_id(&self) -> &AgentId {
        &self.agent_id
    }

    /// The identity, if there is one.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }
}

/// How the broker learns that the grant is still needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// By heartbeats: the broker revokes the grant soon after they stop.
    Heartbeats,
    /// Not at all: the grant lives until it is revoked or its deadline comes.
    DeadlineOnly,
}

/// What to request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The policies, by the names in the agent's boundary.
    pub policies: Vec<PolicyName>,
    /// How long the grant may live.
    pub ttl: Ttl,
    /// The target, if the agent's boundary has more than one.
    pub target: Option<String>,
    /// The reason, for the timeline and for approvers.
    pub reason: Option<String>,
    /// How the broker learns that the grant is still needed.
    pub lease: Lease,
}

impl Request {
    /// A request for a grant that lives while heartbeats come, at the boundary's only target.
    pub fn new(policies: Vec<PolicyName>, ttl: Ttl) -> Self {
        Self { policies, ttl, target: None, reason: None, lease: Lease::Heartbeats }
    }
}

/// One request under one idempotency key.
///
/// Store the key before the first call if another process is to revoke: a revoke by key works even if the answer to
/// elevate is lost.
#[derive(Debug)]
pub struct Elevation {
    asked: Asked,
    key: IdempotencyKey,
    was_sent: Arc<AtomicBool>,
}

/// What is asked for.
#[derive(Debug)]
enum Asked {
    /// A grant of a workload.
    Workload(Arc<Workload>, Request),
    /// A grant that a person takes in an emergency.
    BreakGlass(Box<BreakGlassRequest>),
}

impl Elevation {
    /// An elevation that was not sent yet. [`crate::new_key`] makes the key.
    pub fn new(workload: impl Into<Arc<Workload>>, request: Request, key: IdempotencyKey) -> Self {
        Self { asked: Asked::Workload(workload.into(), request), key, was_sent: Arc::default() }
    }

    /// A grant that a person takes in an emergency. The settings of the client have the session or the sealed code as
    /// their bearer, and [`crate::Settings::break_glass_of`].
    pub fn break_glass(request: BreakGlassRequest, key: IdempotencyKey) -> Self {
        Self { asked: Asked::BreakGlass(Box::new(request)), key, was_sent: Arc::default() }
    }

    /// The idempotency key.
    pub fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// The agent.
    pub fn agent_id(&self) -> &AgentId {
        match &self.asked {
            Asked::Workload(workload, _) => &workload.agent_id,
            Asked::BreakGlass(request) => &request.agent_id,
        }
    }

    /// Whether the broker may have received the request.
    pub fn was_sent(&self) -> bool {
        self.was_sent.load(Ordering::Relaxed)
    }

    /// Whether an elevate that ended in this error may have left a grant at the broker.
    pub fn may_have_granted(&self, error: &Error) -> bool {
        self.was_sent() && error.may_have_granted()
    }

    pub(crate) fn sent_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.was_sent)
    }

    pub(crate) fn mark_sent(&self) {
        self.was_sent.store(true, Ordering::Relaxed);
    }

    /// The request, with a fresh OIDC token where the platform mints on demand.
    pub(crate) async fn call(&self, client: &Client) -> Result<Call, Error> {
        let call = |path| Ok::<_, Error>(client.call(Method::POST, path)?.key(&self.key));
        match &self.asked {
            Asked::Workload(..) => call(routes::GRANTS)?.json(&self.body(client).await?),
            Asked::BreakGlass(request) => call(routes::BREAK_GLASS)?.json(request),
        }
    }

    /// The body of a workload's request.
    pub(crate) async fn body(&self, client: &Client) -> Result<ElevateRequest, Error> {
        let Asked::Workload(workload, request) = &self.asked else {
            return Err(Error::unexpected(
                "break-glass is neither tried nor observed: it is for emergencies",
            ));
        };
        let (http, now) = (client.http(), client.now());
        let Workload { agent_id, identity, claimed, audience, no_issuer: _ } = &**workload;
        let oidc_token = match identity {
            Some(identity) => Some(identity.token(http, audience, now).await?),
            None => None,
        };
        let Request { policies, ttl, target, reason, lease } = request;
        Ok(ElevateRequest {
            agent_id: agent_id.clone(),
            oidc_token,
            policies: policies.clone(),
            ttl: *ttl,
            target: target.clone(),
            reason: reason.clone(),
            heartbeat: *lease == Lease::Heartbeats,
            claimed: claimed.clone(),
        })
    }

    /// Replaces "the agent needs a token" by the reason why the platform has none.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let no_issuer = match &self.asked {
            Asked::Workload(workload, _) => workload.no_issuer.as_ref(),
            Asked::BreakGlass(_) => None,
        };
        match (&error, no_issuer) {
            (Error::Problem(problem), Some(why)) if problem.code == ErrorCode::OidcTokenMissing.as_str() => {
                why.clone().into()
            }
            (_, _) => error,
        }
    }
}
