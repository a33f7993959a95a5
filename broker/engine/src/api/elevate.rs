//! Elevate: checks the request, writes the grant, and drives it to active.

use std::num::NonZeroU32;
use std::time::Duration;

use domain::grant::Request;
use domain::{Agent, Grant, Lease, State};
use policy::Permit;
use protocol::{Credentials, ElevateRequest, ErrorCode, GrantId, IdempotencyKey, Provenance, Secret};
use sha2::{Digest, Sha256};
use store::{Created, GrantRecord};
use targets::claim::Claim;
use targets::{LateWrites, Target};
use tracing::Instrument;

use crate::clock::random;
use crate::lifecycle::{Goal, Outcome};
use crate::request_limits::Kind;
use crate::{Engine, Refusal, spans, to_wire};

/// Between two reads of a grant that another driver is applying.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// A request for a grant.
#[derive(Debug)]
pub struct Elevation {
    /// The auth token.
    pub bearer: Option<Secret>,
    /// Makes retries join.
    pub key: IdempotencyKey,
    /// The body.
    pub request: ElevateRequest,
}

/// An active grant.
#[derive(Debug)]
pub struct Elevated {
    /// With its credentials.
    pub grant: protocol::Grant,
}

impl Engine {
    /// Elevates, or refuses. A refusal by the boundary is recorded, and so is everything after it.
    pub async fn elevate(&self, elevation: Elevation) -> Result<Elevated, Refusal> {
        let Elevation { bearer, key, request } = elevation;
        let authorized = self.authorize(bearer.as_ref(), &request).await?;
        let now = self.clock.now();
        let (agent, principal) = (authorized.agent, authorized.principal);
        // A denial for want of a scope is recorded with the first.
        let boundary = &agent.registration.boundary;
        let scope = request.target.as_deref().and_then(|target| boundary.scope(target));
        let scope = scope.unwrap_or_else(|| boundary.first());
        let terms = Request {
            id: GrantId::from_random(random(self.random.as_ref())?),
            agent_id: agent.id.clone(),
            key,
            request_hash: request_hash(&request),
            policies: request.policies,
            target: scope.target.kind(),
            scope: scope.name.clone(),
            ttl: request.ttl,
            reason: request.reason,
            provenance: Provenance { claimed: request.claimed, ..principal.provenance },
            run: principal.run,
        };
        let replay = principal.replay.as_ref();
        let permit = match authorized.permit {
            Ok(permit) => permit,
            Err(denied) => return Err(self.deny(terms, now, denied, replay).await),
        };
        let target = self.driver.target(permit.target())?;
        let (plan, reasons) = self.driver.plan(&terms, &permit, target.as_ref(), now).await?;
        let claimed_at = self.clock.now();
        let claim = self.driver.claim_from(claimed_at);
        let claimed_until = claimed_at.plus(self.settings.load().claim);
        let most_active = agent.registration.max_active_grants_per_run;
        let limited = most_active.map(|most| (most, terms.clone()));
        let mut accepted = Grant::accepted(terms, now, plan.enforced_by, plan.steps, claimed_until);
        accepted.events.extend(reasons);
        let created = match target.late_writes() {
            LateWrites::Possible { .. } => accepted,
            LateWrites::Impossible => self.driver.activate_at_once(accepted, target.as_ref()).await?,
        };
        let lease = request.heartbeat.then(|| Lease::new(self.settings.load().heartbeat, now));
        let creating = self.store.create_grant(&created, lease, replay, most_active, None);
        match creating.instrument(spans::store("store: create grant")).await? {
            Created::New(record) if matches!(record.grant.state, State::Active { .. }) => {
                self.counters.grants_activated();
                // Not read again: a driver that has ended the grant since has ended its credentials as well.
                let credentials = self.credentials_of(&record, &permit, target.as_ref()).await?;
                Ok(elevated(&record, credentials))
            }
            Created::New(record) => {
                let goal = Goal::Activate { permit: Some(&permit), claimed_at: Some(claimed_at) };
                self.respond(self.driver.drive(record, goal, &claim).await?, &permit, target.as_ref()).await
            }
            Created::Joined(record) => self.join(record, &permit, target.as_ref(), &claim).await,
            Created::KeyConflict => Err(Refusal::new(
                ErrorCode::IdempotencyConflict,
                "the idempotency key was used for a request with other policies, ttl, target or reason",
            )
            .hint("use a new random key for each elevation")),
            Created::KeyRevoked => {
                Err(Refusal::grant_ended(Some("the key was revoked before the request arrived".to_owned())))
            }
            Created::AgentDisabled => Err(agent_disabled(&agent)),
            Created::Replayed => Err(self.replayed(Kind::Elevation, &agent.id)),
            Created::ContextChanged => {
                Err(Refusal::new(ErrorCode::Internal, "the store checked a decision that was not made"))
            }
            Created::TooManyActive => match limited {
                Some((most, terms)) => {
                    let denied = too_many_active(&terms, most);
                    Err(self.deny(terms, now, denied, replay).await)
                }
                None => Err(Refusal::new(ErrorCode::Internal, "the store counted grants that have no limit")),
            },
        }
    }

    /// A retry: joins the grant of its idempotency key.
    async fn join(
        &self,
        record: GrantRecord,
        permit: &Permit,
        target: &dyn Target,
        claim: &Claim,
    ) -> Result<Elevated, Refusal> {
        self.counters.elevations_deduplicated();
        let now = self.clock.now();
        match &record.grant.state {
            State::Applying { .. } => {
                let goal = Goal::Activate { permit: Some(permit), claimed_at: None };
                self.respond(self.driver.drive(record, goal, claim).await?, permit, target).await
            }
            State::Active { .. } if now < record.grant.expires_at => {
                self.store.add_retry(&record.grant.id, now).await?;
                self.active_grant(&record, permit, target).await
            }
            State::Active { .. }
            | State::Denied { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Ending(_)
            | State::Revoked { .. } => Err(Refusal::grant_ended(record.grant.end_reason())),
        }
    }

    async fn respond(
        &self,
        outcome: Outcome,
        permit: &Permit,
        target: &dyn Target,
    ) -> Result<Elevated, Refusal> {
        match outcome {
            Outcome::Activated { record, credentials: Some(credentials) } => {
                Ok(elevated(&record, credentials))
            }
            Outcome::Activated { record, credentials: None } => {
                self.active_grant(&record, permit, target).await
            }
            Outcome::NotActivated(refusal) => Err(refusal),
            Outcome::Overtaken(id) => self.wait_for_other_driver(&id, permit, target).await,
            Outcome::Settled(record) => Err(Refusal::grant_ended(record.grant.end_reason())),
        }
    }

    /// A retry of the same request, or a revoke, saved the grant first; its result counts.
    async fn wait_for_other_driver(
        &self,
        id: &GrantId,
        permit: &Permit,
        target: &dyn Target,
    ) -> Result<Elevated, Refusal> {
        let mut claim = self.driver.claim_from(self.clock.now());
        let mut record = self.driver.read(id).await?;
        while matches!(record.grant.state, State::Applying { claimed_until } if self.clock.now() < claimed_until)
        {
            tokio::time::sleep(POLL_EVERY).await;
            claim = self.driver.claim_from(self.clock.now());
            record = self.driver.read(id).await?;
        }
        if matches!(record.grant.state, State::Active { .. }) {
            return self.active_grant(&record, permit, target).await;
        }
        let ended = Refusal::grant_ended(record.grant.end_reason());
        // The other driver may have reverted the grant before this one applied its last step. If this fails, the worker
        // reverts it when the claim has ended.
        match self.driver.drive(record, Goal::Finish, &claim).await {
            Ok(_) => Err(ended),
            Err(error) => Err(ended.because(error)),
        }
    }

    /// An active grant with new credentials.
    pub(super) async fn active_grant(
        &self,
        record: &GrantRecord,
        permit: &Permit,
        target: &dyn Target,
    ) -> Result<Elevated, Refusal> {
        let credentials = self.credentials_of(record, permit, target).await?;
        if matches!(credentials, Credentials::Held) {
            return Ok(elevated(record, credentials));
        }
        // Read after they are made: a driver that ends the grant from then on ends them as well.
        let record = self.driver.read(&record.grant.id).await?;
        if !matches!(record.grant.state, State::Active { .. }) {
            return Err(Refusal::grant_ended(record.grant.end_reason()));
        }
        Ok(elevated(&record, credentials))
    }

    async fn credentials_of(
        &self,
        record: &GrantRecord,
        permit: &Permit,
        target: &dyn Target,
    ) -> Result<Credentials, Refusal> {
        let made = target.credentials(permit, &record.grant, self.clock.now()).await;
        made.map_err(|error| Refusal::target_failed(&error.what))
    }
}

fn elevated(record: &GrantRecord, credentials: Credentials) -> Elevated {
    let mut grant = to_wire::grant(record);
    grant.credentials = Some(credentials);
    Elevated { grant }
}

fn agent_disabled(agent: &Agent) -> Refusal {
    Refusal::new(ErrorCode::AgentDisabled, format!("agent `{}` is disabled", agent.id))
}

fn too_many_active(terms: &Request, most: NonZeroU32) -> policy::Denied {
    let of = match terms.run {
        Some(_) => "this run".to_owned(),
        None => format!("agent `{}`, whose token names no run,", terms.agent_id),
    };
    policy::Denied {
        code: ErrorCode::TooManyActiveGrants,
        detail: format!(
            "{of} has active grants already: expected fewer than {most} (`max_active_grants_per_run`)"
        ),
        hint: "end the other grant first, or ask for all policies of the step at once".to_owned(),
    }
}

/// SHA-256 of the terms. Credentials, and the claims of the client about its run, may differ between retries.
fn request_hash(request: &ElevateRequest) -> String {
    let mut hasher = Sha256::new();
    let mut part = |text: &str| {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text);
    };
    part(request.agent_id.as_str());
    part(&request.ttl.to_string());
    part(request.target.as_deref().unwrap_or_default());
    part(request.reason.as_deref().unwrap_or_default());
    part(if request.heartbeat { "lease" } else { "" });
    for policy in &request.policies {
        part(policy.as_str());
    }
    format!("{:x}", hasher.finalize())
}
