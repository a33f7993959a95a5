//! Elevate: who asks, may they, give.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;

use domain::grant::{Moved, Request};
use domain::{Agent, Grant, Lease, NewEvent, Principal, State};
use policy::{AccessRequest, Holder, Permit};
use protocol::{
    Decision, ElevateRequest, ErrorCode, GrantId, IdempotencyKey, Provenance, Secret, Timestamp, Trust,
};
use sha2::{Digest, Sha256};
use store::{Created, Stored};
use targets::claim::Claim;
use targets::{LateWrites, Plan, Target};
use tracing::Instrument;

use crate::activate::{elevated, target_failed};
use crate::budgets::Kind;
use crate::clock::random;
use crate::{Engine, Refusal, spans};

/// An elevation that somebody asks for.
#[derive(Debug)]
pub struct Elevation {
    /// The auth token.
    pub bearer: Option<Secret>,
    /// Makes retries join.
    pub key: IdempotencyKey,
    /// The body.
    pub request: ElevateRequest,
}

/// What became of it.
#[derive(Debug)]
pub struct Elevated {
    /// The grant with its credentials.
    pub grant: protocol::Grant,
}

/// Everything that was found out about an elevation before anything is given.
struct Checked {
    agent: Arc<Agent>,
    principal: Principal,
    permit: Result<Permit, policy::Denied>,
}

impl Engine {
    /// Gives a grant, or says why not. A refusal by the boundary is on record; so is everything after it.
    pub async fn elevate(&self, elevation: Elevation) -> Result<Elevated, Refusal> {
        let Elevation { bearer, key, request } = elevation;
        let checked = self.check(bearer.as_ref(), &request).await?;
        let now = self.clock.now();
        // A denial for want of a scope is recorded with the first.
        let boundary = &checked.agent.registration.boundary;
        let scope = request.target.as_deref().and_then(|target| boundary.scope(target));
        let scope = scope.unwrap_or_else(|| boundary.first());
        let terms = Request {
            id: GrantId::from_random(random(self.random.as_ref())?),
            agent_id: checked.agent.id.clone(),
            key,
            request_hash: request_hash(&request),
            policies: request.policies,
            target: scope.target.kind(),
            scope: scope.name.clone(),
            ttl: request.ttl,
            reason: request.reason,
            provenance: Provenance { claimed: request.claimed, ..checked.principal.provenance },
            run: checked.principal.run,
        };
        let permit = match checked.permit {
            Ok(permit) => permit,
            Err(denied) => {
                return Err(self.deny(terms, now, denied, checked.principal.replay.as_ref()).await);
            }
        };
        let target = self.target(permit.target())?;
        let (plan, reasons) = self.plan_unless_joining(&terms, &permit, target.as_ref(), now).await?;
        let claimed_at = self.clock.now();
        let claimed_until = claimed_at.plus(self.settings.get().claim);
        let most_active = checked.agent.registration.max_active_grants_per_run;
        let limited = most_active.map(|most| (most, terms.clone()));
        let mut accepted = Grant::accepted(terms, now, plan.enforced_by, plan.steps, claimed_until);
        accepted.events.extend(reasons);
        let given = match target.late_writes() {
            LateWrites::Possible { .. } => accepted,
            // Nothing is changed outside the broker: to be accepted and to be active are one change.
            LateWrites::Impossible => self.give_at_once(accepted, target.as_ref()).await?,
        };
        let lease = request.heartbeat.then(|| Lease::new(self.settings.get().heartbeat, now));
        let creating = self.store.create_grant(&given, lease, checked.principal.replay.as_ref(), most_active);
        match creating.instrument(spans::store("store: create grant")).await? {
            Created::New(stored) if matches!(stored.grant.state, State::Active { .. }) => {
                self.counters.grants_activated();
                self.just_given.remember(&stored);
                // Not looked at again: whatever took it back since has taken back its credentials as well.
                let credentials = self.make_credentials(&stored, &permit, target.as_ref()).await?;
                Ok(elevated(&stored, credentials))
            }
            Created::New(stored) => self.apply(stored, &permit, target.as_ref(), claimed_at).await,
            Created::Joined(stored) => self.join(stored, &permit, target.as_ref()).await,
            Created::KeyConflict => Err(Refusal::new(
                ErrorCode::IdempotencyConflict,
                "the idempotency key was used for a request with other policies, ttl, target or reason",
            )
            .hint("use a new random key for each elevation")),
            Created::Cancelled => {
                Err(Refusal::grant_ended(Some("the key was given back before the request came".to_owned())))
            }
            Created::AgentDisabled => Err(policy_of_disabled(&checked.agent)),
            Created::Replayed => Err(self.replayed(Kind::Elevation, &checked.agent.id)),
            Created::TooManyActive => match limited {
                Some((most, terms)) => {
                    let denied = too_many_active(&terms, most);
                    Err(self.deny(terms, now, denied, checked.principal.replay.as_ref()).await)
                }
                None => Err(Refusal::new(ErrorCode::Internal, "the store counted grants that have no limit")),
            },
        }
    }

    /// What elevate would say, with nothing given, recorded or used up.
    pub async fn dry_run(
        &self,
        bearer: Option<&Secret>,
        request: &ElevateRequest,
    ) -> Result<Decision, Refusal> {
        let checked = self.check(bearer, request).await?;
        let permit = checked.permit?;
        let mut checks = vec![match checked.principal.provenance.trust {
            Trust::Oidc => "both credentials lead to the same agent".to_owned(),
            Trust::AuthTokenOnly => "trusted by its auth token alone (dangerous)".to_owned(),
        }];
        checks.extend(permit.checks());
        Ok(Decision {
            agent_id: checked.agent.id.clone(),
            policies: permit.policies().to_vec(),
            target: permit.scope_name().to_string(),
            ttl: permit.ttl(),
            max_session: permit.max_session(),
            checks,
        })
    }

    async fn check(&self, bearer: Option<&Secret>, request: &ElevateRequest) -> Result<Checked, Refusal> {
        let agent = self.agent_of(bearer).await?;
        if agent.id != request.agent_id {
            return Err(Refusal::new(
                ErrorCode::AgentMismatch,
                format!("the auth token is not agent `{}`'s", request.agent_id),
            )
            .hint("CLOUDANIX_AUTH_TOKEN and CLOUDANIX_AGENT_ID have to be of one registration"));
        }
        well_formed(request)?;
        let principal =
            self.identify(&agent, request.oidc_token.as_ref()).instrument(spans::identity()).await?;
        let asked = AccessRequest {
            policies: &request.policies,
            ttl: request.ttl,
            target: request.target.as_deref(),
            holder: if request.heartbeat { Holder::Heartbeat } else { Holder::DeadlineOnly },
        };
        let permit = policy::check(&agent, asked);
        let kind = if permit.is_ok() { Kind::Elevation } else { Kind::Denied };
        self.budgets.take(kind, &agent.id, self.clock.now())?;
        Ok(Checked { agent, principal, permit })
    }

    /// What is to be done. A retry of what is under way does what that one planned, and is not kept by a target that
    /// does not answer now; so it is asked for while the target plans.
    async fn plan_unless_joining(
        &self,
        terms: &Request,
        permit: &Permit,
        target: &dyn Target,
        now: Timestamp,
    ) -> Result<(Plan, Vec<NewEvent>), Refusal> {
        let mut planning = pin!(self.planned(target, permit, &terms.id, now.plus(terms.ttl.into())));
        if target.late_writes() == LateWrites::Impossible {
            return planning.await.map_err(|error| target_failed(&error.what));
        }
        let mut asking = pin!(self.store.grant_by_key(&terms.agent_id, &terms.key));
        let mut is_new = false;
        let joined = |there: Stored| {
            (Plan { steps: there.grant.steps, enforced_by: there.grant.enforced_by }, Vec::new())
        };
        loop {
            tokio::select! {
                biased;
                // Whoever asks for a grant that is there gets that one, whatever was planned.
                planned = &mut planning => return match planned {
                    Ok(planned) => Ok(planned),
                    Err(error) if is_new => Err(target_failed(&error.what)),
                    Err(error) => asking.await?.map(joined).ok_or_else(|| target_failed(&error.what)),
                },
                there = &mut asking, if !is_new => match there? {
                    Some(there) => return Ok(joined(there)),
                    None => is_new = true,
                },
            }
        }
    }

    async fn identify(&self, agent: &Agent, token: Option<&Secret>) -> Result<Principal, Refusal> {
        let registration = &agent.registration;
        let trust = registration.trust.as_ref().map_err(|refused| {
            Refusal::new(
                ErrorCode::InvalidRegistration,
                format!("the registration of agent `{}` is not accepted any more: {refused}", agent.id),
            )
            .hint("an operator applies a corrected file with `cloudanix-jit agent apply`")
        })?;
        match token {
            // A token that is presented is verified even where none is needed: it must not be worth less
            // than nothing.
            Some(token) if !trust.is_empty() => {
                let now = self.clock.now();
                let verified = self.verifier.verify(token, &agent.id, trust, now).await;
                verified.map_err(|refused| {
                    // An outage is not the caller's doing.
                    if matches!(refused, identity::Refused::IssuerUnavailable { .. }) {
                        self.counters.authentication_failures();
                        return refused.into();
                    }
                    self.unproven(&agent.id, refused.into())
                })
            }
            _ if registration.auth_token_only => Ok(Principal {
                agent_id: agent.id.clone(),
                provenance: Provenance { trust: Trust::AuthTokenOnly, ..Provenance::default() },
                run: None,
                replay: None,
            }),
            _ => {
                let missing = Refusal::new(
                    ErrorCode::OidcTokenMissing,
                    "expected the workload's OIDC token in `oidc_token`, found none",
                )
                .hint("run `cloudanix-jit doctor` in the job: it says which token was looked for and where");
                Err(self.unproven(&agent.id, missing))
            }
        }
    }

    /// What [`Self::apply`] does, before anything is written: there is nothing that a crash could leave.
    async fn give_at_once(&self, accepted: Moved, target: &dyn Target) -> Result<Moved, Refusal> {
        let mut receipts = Vec::with_capacity(accepted.grant.steps.len());
        let claim = Claim::not_needed();
        for step in &accepted.grant.steps {
            let applying = target.apply(&accepted.grant, step, self.clock.now(), &claim);
            let receipt = applying.instrument(spans::target("target: give", target.kind())).await;
            receipts.push(receipt.map_err(|error| target_failed(&error.what))?);
        }
        let active = accepted.grant.clone().activate(self.clock.now(), &receipts.join(" · "));
        let active = active.map_err(|wrong| Refusal::grant_ended(wrong.grant.end_reason()))?;
        Ok(accepted.then(active))
    }
}

fn policy_of_disabled(agent: &Agent) -> Refusal {
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

/// What can be said of a request without knowing who asks.
fn well_formed(request: &ElevateRequest) -> Result<(), Refusal> {
    let refuse = |detail: String| Err(Refusal::new(ErrorCode::InvalidRequest, detail));
    let (policies, max) = (request.policies.len(), protocol::elevate::MAX_POLICIES);
    if policies == 0 || policies > max {
        return refuse(format!("policies: expected 1 to {max}, found {policies}"));
    }
    let max = protocol::elevate::MAX_TARGET;
    if let Some(len) = request.target.as_ref().map(|target| target.chars().count()).filter(|len| *len > max) {
        return refuse(format!("target: expected at most {max} characters, found {len}"));
    }
    let max = protocol::elevate::MAX_REASON;
    if let Some(len) = request.reason.as_ref().map(|reason| reason.chars().count()).filter(|len| *len > max) {
        return refuse(format!("reason: expected at most {max} characters, found {len}"));
    }
    if let Some((name, fact)) = request.claimed.iter().find(|(_, fact)| fact.chars().count() > max) {
        let found = fact.chars().count();
        return refuse(format!("claimed.{name}: expected at most {max} characters, found {found}"));
    }
    Ok(())
}

/// SHA-256 of what is asked. Credentials, and what the client says of its run, may differ between tries.
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
