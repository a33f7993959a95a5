//! Elevate: checks the request, writes the grant, and drives it to active.

use std::num::NonZeroU32;
use std::time::Duration;

use domain::facts::ObservedFacts;
use domain::grant::{Request, Transition};
use domain::{Agent, Decision, DecisionKind, Grant, Lease, State, Verdict};
use policy::Permit;
use protocol::{
    Credentials, ElevateRequest, ErrorCode, GrantId, IdempotencyKey, PolicyName, Provenance, Secret,
    Timestamp,
};
use store::{Created, GrantRecord};
use targets::Target;
use targets::claim::Claim;
use tracing::Instrument;

use super::authorize::{Authorized, asked_scope};
use crate::approvals::{asked_for, waits_for_votes};
use crate::auth::hash_of_parts;
use crate::break_glass::code_refused;
use crate::clock::random;
use crate::lifecycle::{Goal, Outcome};
use crate::request_limits::Kind;
use crate::rules::Turn;
use crate::rules::decide::Decided;
use crate::{Engine, Refusal, spans, to_wire};

/// How often a request is decided, if the store finds each time that the decision does not hold any more.
pub(super) const DECISIONS: u32 = 5;

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
    /// What the broker observed of the request.
    pub observed: ObservedFacts,
}

/// A grant that is active or waits for approval.
#[derive(Debug)]
pub struct Elevated {
    /// With its credentials, if it is active.
    pub grant: protocol::Grant,
}

/// The terms of a new grant, and what its creation needs beside the decision.
struct NewGrant {
    terms: Request,
    lease: Option<Lease>,
    /// Held until it is stored, where rules count grants.
    turn: Option<Turn>,
    now: Timestamp,
}

/// What became of a grant that was to be stored.
enum Stored {
    New(GrantRecord),
    /// The grant of the same idempotency key.
    Joined(GrantRecord),
    ContextChanged,
}

/// The result of one try to create a grant.
enum Tried {
    Elevated(Box<Elevated>),
    /// The decision does not hold any more: it has to be made again.
    ContextChanged,
}

impl Engine {
    /// Elevates, or refuses. A refusal by the boundary or a rule is recorded, and so is everything after it.
    pub async fn elevate(&self, elevation: Elevation) -> Result<Elevated, Refusal> {
        let Elevation { bearer, key, request, observed } = elevation;
        let authorized = self.authorize(bearer.as_ref(), &request, observed).await?;
        let now = self.clock.now();
        let scope = asked_scope(&authorized.agent.registration.boundary, request.target.as_deref());
        let principal = authorized.principal.clone();
        let terms = Request {
            id: GrantId::from_random(random(self.random.as_ref())?),
            agent_id: authorized.agent.id.clone(),
            key,
            request_hash: request_hash(&request),
            policies: request.policies,
            target: scope.target.kind(),
            scope: scope.name.clone(),
            ttl: request.ttl,
            reason: request.reason,
            provenance: Provenance { claimed: request.claimed, ..principal.provenance },
            run: principal.run,
            break_glass: None,
        };
        let lease = request.heartbeat.then(|| Lease::new(self.settings.load().heartbeat, now));
        self.decide_and_create(DecisionKind::Elevate, &authorized, terms, lease, now).await
    }

    /// Decides, and creates the grant from this decision. Decides again as long as what it decided from has changed
    /// meanwhile.
    pub(super) async fn decide_and_create(
        &self,
        kind: DecisionKind,
        authorized: &Authorized,
        terms: Request,
        lease: Option<Lease>,
        now: Timestamp,
    ) -> Result<Elevated, Refusal> {
        for _ in 0..DECISIONS {
            // In an emergency no rule is asked, so none counts other grants.
            let turn = match authorized.break_glass {
                true => None,
                false => self.rules.turn(&authorized.agent.id).await,
            };
            let decided = self.decide(kind, authorized.asked()).await?;
            // Boxed, as below: the states of all paths together would fill the stack of a thread.
            let new = NewGrant { terms: terms.clone(), lease, turn, now };
            match Box::pin(self.create(authorized, new, &decided)).await? {
                Tried::Elevated(elevated) => return Ok(*elevated),
                Tried::ContextChanged => {}
            }
        }
        Err(context_unsettled())
    }

    async fn create(
        &self,
        authorized: &Authorized,
        new: NewGrant,
        decided: &Decided,
    ) -> Result<Tried, Refusal> {
        let permit = match &decided.permit {
            Ok(permit) => permit.clone(),
            Err(denied) => {
                let denied = denied.clone();
                return Box::pin(self.not_permitted_now(authorized, new, decided, denied)).await;
            }
        };
        let now = new.now;
        let target = self.driver.target(permit.target())?;
        let (plan, reasons) = self.driver.plan(&new.terms, &permit, target.as_ref(), now).await?;
        let claimed_at = self.clock.now();
        let claim = self.driver.claim_from(claimed_at);
        let claimed_until = claimed_at.plus(self.settings.load().claim);
        let mut accepted =
            Grant::accepted(new.terms.clone(), now, plan.enforced_by, plan.steps, claimed_until)
                .decided(&decided.summary());
        accepted.events.extend(reasons);
        let created = self.driver.activate_at_once(accepted, target.as_ref()).await?;
        let elevated = match self.store_new(authorized, &created, new, decided).await? {
            Stored::New(record) => {
                self.apply_stored(record, &permit, target.as_ref(), claimed_at, &claim).await?
            }
            Stored::Joined(record) if matches!(record.grant.state, State::Waiting(_)) => {
                Box::pin(self.wait_or_collect(record, authorized)).await?
            }
            Stored::Joined(record) => Box::pin(self.join(record, &permit, target.as_ref(), &claim)).await?,
            Stored::ContextChanged => return Ok(Tried::ContextChanged),
        };
        Ok(Tried::Elevated(Box::new(elevated)))
    }

    /// Goes on with a grant whose plan was just stored, as active where the target changes nothing outside the broker.
    pub(super) async fn apply_stored(
        &self,
        record: GrantRecord,
        permit: &Permit,
        target: &dyn Target,
        claimed_at: Timestamp,
        claim: &Claim,
    ) -> Result<Elevated, Refusal> {
        if matches!(record.grant.state, State::Active { .. }) {
            self.counters.grants_activated();
            // Not read again: a driver that has ended the grant since has ended its credentials as well.
            let credentials = self.credentials_of(&record, permit, target).await?;
            return Ok(elevated(&record, credentials));
        }
        let goal = Goal::Activate { permit: Some(permit), claimed_at: Some(claimed_at) };
        self.respond(self.driver.drive(record, goal, claim).await?, permit, target).await
    }

    async fn store_new(
        &self,
        authorized: &Authorized,
        transition: &Transition,
        new: NewGrant,
        decided: &Decided,
    ) -> Result<Stored, Refusal> {
        let NewGrant { terms, lease, turn, now } = new;
        let Authorized { agent, principal, .. } = authorized;
        let replay = principal.replay.as_ref();
        let most_active = agent.registration.max_active_grants_per_run.filter(|_| !authorized.break_glass);
        let decision = decided.for_new_grant();
        let creating = self.store.create_grant(transition, lease, replay, most_active, Some(&decision));
        let creating = creating.instrument(spans::store("store: create grant")).await;
        drop(turn);
        Err(match creating? {
            Created::New(record) => return Ok(Stored::New(record)),
            Created::Joined(record) => return Ok(Stored::Joined(record)),
            Created::ContextChanged => return Ok(Stored::ContextChanged),
            Created::KeyConflict => key_conflict(),
            Created::KeyRevoked => {
                let reason = "the key was revoked before the request arrived";
                Refusal::grant_ended(Some(reason.to_owned()))
            }
            Created::AgentDisabled => agent_disabled(agent),
            Created::Replayed if authorized.break_glass => code_refused(),
            Created::Replayed => self.replayed(Kind::Elevation, &agent.id),
            Created::TooManyActive => match most_active {
                Some(most) => {
                    let denied = too_many_active(&terms, most);
                    let verdict = Verdict::refused_by_boundary(&denied.detail);
                    let enforced = domain::Decided { verdict, ..decided.decision.enforced.clone() };
                    let decision = Decision { enforced, shadow: None, ..decided.decision.clone() };
                    self.deny(terms, now, denied, replay, &decision).await
                }
                None => {
                    let detail = "the store counted grants that have no limit";
                    Refusal::new(ErrorCode::Internal, detail)
                }
            },
        })
    }

    /// A request that is not permitted as it is. A retry of a request that has a grant joins it, if the grant itself
    /// would be allowed now: a rule about other grants of the run does not refuse a grant because of itself. A request
    /// that needs the approval of persons waits for it, and every other one is recorded as denied.
    async fn not_permitted_now(
        &self,
        authorized: &Authorized,
        new: NewGrant,
        decided: &Decided,
        mut denied: policy::Denied,
    ) -> Result<Tried, Refusal> {
        let agent = &authorized.agent;
        // A sealed code is not used up by a mistake.
        let replay = authorized.principal.replay.as_ref().filter(|_| !authorized.break_glass);
        if authorized.checked.is_ok() {
            if let Some(record) = self.store.grant_by_key(&agent.id, &new.terms.key).await? {
                if record.grant.request_hash != new.terms.request_hash {
                    return Err(key_conflict());
                }
                // With it the turn: other requests of the agent do not wait while this grant is applied.
                drop(new);
                let elevated = Box::pin(self.wait_or_collect(record, authorized)).await?;
                return Ok(Tried::Elevated(Box::new(elevated)));
            }
            if decided.needs_approval() {
                match self.people() {
                    Ok(people) => {
                        return self.ask_persons(authorized, new, decided, people.approval).await;
                    }
                    Err(unavailable) => denied.hint = unavailable.detail,
                }
            }
            self.request_limits.refund(Kind::Elevation, &agent.id);
            self.request_limits.acquire(Kind::Denied, &agent.id, new.now)?;
        }
        Err(self.deny(new.terms, new.now, denied, replay, &decided.decision).await)
    }

    async fn ask_persons(
        &self,
        authorized: &Authorized,
        new: NewGrant,
        decided: &Decided,
        within: Duration,
    ) -> Result<Tried, Refusal> {
        let NewGrant { terms, now, .. } = &new;
        let reason = terms.reason.as_deref();
        let approval = asked_for(&terms.provenance, reason, &decided.decision);
        let waiting = Grant::waiting(terms.clone(), *now, approval, now.plus(within));
        let waiting = waiting.decided(&decided.summary());
        let elevated = match self.store_new(authorized, &waiting, new, decided).await? {
            Stored::New(record) => {
                self.counters.approvals_requested();
                let request = &decided.decision.facts.request;
                let record = self.vote_by_standing_approvals(record, &authorized.agent, request).await?;
                match waits_for_votes(&record) {
                    true => Elevated { grant: to_wire::grant(&record) },
                    false => Box::pin(self.wait_or_collect(record, authorized)).await?,
                }
            }
            Stored::Joined(record) => Box::pin(self.wait_or_collect(record, authorized)).await?,
            Stored::ContextChanged => return Ok(Tried::ContextChanged),
        };
        Ok(Tried::Elevated(Box::new(elevated)))
    }

    /// A retry: joins the grant of its idempotency key.
    pub(super) async fn join(
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
            | State::Waiting(_)
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
            Outcome::Overtaken(id) => Box::pin(self.wait_for_other_driver(&id, permit, target)).await,
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

pub(super) fn context_unsettled() -> Refusal {
    Refusal::new(
        ErrorCode::ContextUnsettled,
        format!(
            "rules, posture, grants of this run or the registration changed during {DECISIONS} decisions"
        ),
    )
    .hint("try again, with the same idempotency key")
    .retry_after(1)
}

fn key_conflict() -> Refusal {
    Refusal::new(
        ErrorCode::IdempotencyConflict,
        "the idempotency key was used for a request with other policies, ttl, target or reason",
    )
    .hint("use a new random key for each elevation")
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
    let ttl = request.ttl.to_string();
    let terms = [
        request.agent_id.as_str(),
        &ttl,
        request.target.as_deref().unwrap_or_default(),
        request.reason.as_deref().unwrap_or_default(),
        if request.heartbeat { "lease" } else { "" },
    ];
    hash_of_parts(terms.into_iter().chain(request.policies.iter().map(PolicyName::as_str)))
}
