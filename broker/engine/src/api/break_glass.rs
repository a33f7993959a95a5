//! Break-glass: takes a grant in an emergency, seals the codes for it, and takes the review.

use domain::facts::ObservedFacts;
use domain::grant::Request;
use domain::{BreakGlass, Claims, DecisionKind, Lease, Principal, ReplayGuard, SealedCode, State};
use policy::{AccessRequest, Holder, Requested, WithinBoundary};
use protocol::break_glass::{
    BreakGlassCode, BreakGlassRequest, CodeList, CodeState, LONGEST_SECONDS, MAX_CODES, MAX_DAYS,
    MAX_INCIDENT, MAX_LABEL, MAX_NOTE, NewCodes, SealedCode as NewCode, SealedCodes,
};
use protocol::people::Right;
use protocol::{
    Actor, BreakGlassCodeId, ErrorCode, Grant, GrantId, GrantList, IdempotencyKey, Provenance, Secret, Trust,
};
use store::{GrantRecord, ListedCode, Listing, Only, Precondition, SEALED_CODES_KEPT_FOR, SaveOutcome};

use super::agents::no_such_agent;
use super::approvals::person_required;
use super::authorize::{Authorized, access_well_formed, asked_scope};
use super::{Elevated, Page};
use crate::auth::{hash_of, hash_of_parts, not_for_agents};
use crate::break_glass::{code_refused, is_for};
use crate::clock::random;
use crate::people::On;
use crate::request_limits::Kind;
use crate::rules::agent_glob;
use crate::rules::facts::request_of;
use crate::{Caller, Engine, Refusal, to_wire};

/// How often a review is tried while others change the grant.
const TRIES: u32 = 10;
const DAY_SECONDS: u64 = 24 * 60 * 60;

impl Engine {
    /// Takes a grant for a person in an emergency: within the boundary, and asking neither rules nor persons. Everything
    /// after that is as for every grant.
    pub async fn break_glass(
        &self,
        bearer: Option<&Secret>,
        key: IdempotencyKey,
        request: BreakGlassRequest,
        observed: ObservedFacts,
    ) -> Result<Elevated, Refusal> {
        let caller = self.caller(bearer).await.inspect_err(|refusal| {
            if refusal.code == ErrorCode::BreakGlassCodeRefused {
                self.counters.break_glass_refused();
                tracing::error!(agent = %request.agent_id, "break-glass with an unknown code was refused");
            }
        })?;
        let (agent, by) = (request.agent_id.clone(), caller.shown());
        // Not checked yet.
        let cut = |text: &str| text.chars().take(protocol::elevate::MAX_REASON).collect::<String>();
        let (incident, reason) = (cut(&request.incident), cut(&request.reason));
        let taken = Box::pin(self.take(&caller, key, request, observed)).await;
        match &taken {
            Ok(elevated) => {
                let grant = &elevated.grant.id;
                self.counters.break_glass_grants();
                tracing::error!(%grant, %agent, by, incident, reason, "a grant was taken by break-glass");
            }
            Err(refusal) => {
                self.counters.break_glass_refused();
                let error = refusal.to_string();
                tracing::error!(%agent, by, incident, reason, error, "break-glass was refused");
            }
        }
        taken
    }

    async fn take(
        &self,
        caller: &Caller,
        key: IdempotencyKey,
        request: BreakGlassRequest,
        observed: ObservedFacts,
    ) -> Result<Elevated, Refusal> {
        let now = self.clock.now();
        let (by, replay) = match caller {
            Caller::Agent(_) => return Err(not_for_agents()),
            Caller::Operator(_) => {
                return Err(
                    person_required().hint("run `cloudanix-jit login`, or use a sealed code (`--code`)")
                );
            }
            Caller::Person(session) => {
                let agent = &request.agent_id;
                let seen = self.permit(session, Right::View, On::Agent(agent)).await;
                seen.map_err(|_| no_such_agent(agent))?;
                (Actor::Person(session.person.clone()), None)
            }
            Caller::Code(code) => {
                if code.expires_at <= now || !is_for(code, &request.agent_id) {
                    return Err(code_refused());
                }
                (code.actor(), Some(consumed(code)))
            }
        };
        well_formed(&request)?;
        let agent = self.store.agent(&request.agent_id).await?;
        let agent = agent.ok_or_else(|| no_such_agent(&request.agent_id))?;
        let asked = AccessRequest {
            policies: &request.policies,
            ttl: request.ttl,
            target: request.target.as_deref(),
            holder: Holder::Heartbeat,
        };
        let checked = policy::check(&agent, asked);
        let scope = asked_scope(&agent.registration.boundary, request.target.as_deref());
        let policies = checked.as_ref().map_or(request.policies.as_slice(), WithinBoundary::policies);
        if let Caller::Person(session) = caller {
            let requested = Requested { policies, target: scope.target.kind(), scope: &scope.name };
            self.may_break_glass(session, &agent, requested, now)?;
        }
        // What is within the boundary is not limited: a job that elevates too often must not keep a person out.
        if checked.is_err() {
            self.request_limits.acquire(Kind::Denied, &agent.id, now)?;
        }
        let facts = request_of(scope, policies, request.ttl, true);
        let provenance = Provenance {
            trust: Trust::BreakGlass,
            claimed: request.claimed.clone(),
            ..Provenance::default()
        };
        let id = GrantId::from_random(random(self.random.as_ref())?);
        // A run of its own: a grant without a known run would count for every run.
        let run = Some(format!("break-glass {id}"));
        let terms = Request {
            id,
            agent_id: agent.id.clone(),
            key,
            request_hash: request_hash(&request, &by),
            policies: request.policies.clone(),
            target: scope.target.kind(),
            scope: scope.name.clone(),
            ttl: request.ttl,
            reason: Some(request.reason),
            provenance: provenance.clone(),
            run: run.clone(),
            break_glass: Some(Box::new(BreakGlass::new(by, request.incident, now))),
        };
        let principal =
            Principal { agent_id: agent.id.clone(), provenance, claims: Claims::new(), run, replay };
        let authorized =
            Authorized { agent, principal, checked, request: facts, observed, break_glass: true };
        let lease = Some(Lease::new(self.settings.load().heartbeat, now));
        self.decide_and_create(DecisionKind::BreakGlass, &authorized, terms, lease, now).await
    }

    /// A page of the grants that were taken by break-glass, newest first: those of agents that the caller may see.
    pub async fn break_glass_grants(
        &self,
        bearer: Option<&Secret>,
        unreviewed: bool,
        after: Option<GrantId>,
        page: Page,
    ) -> Result<GrantList, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let is_wanted = match unreviewed {
            true => |grant: &domain::Grant| grant.review_until().is_some(),
            false => |_: &domain::Grant| true,
        };
        let taken = Listing { only: Some(Only::BreakGlass), after, ..Listing::default() };
        let (records, next) = self.seen_grants(&caller, taken, is_wanted, page).await?;
        Ok(GrantList { grants: records.iter().map(to_wire::grant).collect(), next })
    }

    /// Takes the review of a grant that has ended, by another person than the one who took it.
    pub async fn review_break_glass(
        &self,
        bearer: Option<&Secret>,
        id: &GrantId,
        note: &str,
    ) -> Result<Grant, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let note = text("note", note, MAX_NOTE)?;
        for _ in 0..TRIES {
            let record = self.driver.read(id).await?;
            let by = self.may_review(&caller, &record).await?;
            let now = self.clock.now();
            let Ok(reviewed) = record.grant.clone().review(now, by.clone(), &note) else {
                return Err(not_to_be_reviewed(&record));
            };
            let saved = self.store.save(&record, &reviewed, Precondition::Version, None).await?;
            if let SaveOutcome::Done(record) = saved {
                tracing::warn!(grant = %id, %by, "a grant that was taken by break-glass was reviewed");
                return Ok(to_wire::grant(&record));
            }
        }
        Err(Refusal::new(
            ErrorCode::ContextUnsettled,
            "others changed the grant during every try to review it",
        )
        .hint("try again")
        .retry_after(1))
    }

    async fn may_review(&self, caller: &Caller, record: &GrantRecord) -> Result<Actor, Refusal> {
        let grant = &record.grant;
        self.admit(caller, Right::View, &grant.agent_id).await?;
        if grant.break_glass.is_none() {
            return Err(Refusal::no_such_grant().hint("the grant was not taken by break-glass"));
        }
        match caller {
            Caller::Person(_) if caller.took(grant) => Err(Refusal::new(
                ErrorCode::OwnBreakGlass,
                "the person who took the grant does not review it: expected another one",
            )),
            Caller::Person(session) => {
                self.admit(caller, Right::Audit, &grant.agent_id).await?;
                Ok(Actor::Person(session.person.clone()))
            }
            // Where persons can sign in, a person answers for the review.
            Caller::Operator(name) if self.people().is_err() => Ok(Actor::Operator { name: name.clone() }),
            Caller::Operator(_) | Caller::Agent(_) | Caller::Code(_) => Err(person_required()),
        }
    }

    /// Seals codes, which are in this answer and nowhere else.
    pub async fn seal_codes(&self, bearer: Option<&Secret>, new: &NewCodes) -> Result<SealedCodes, Refusal> {
        let by = self.actor(bearer, Right::Register, On::Broker).await?;
        let label = codes_well_formed(new)?;
        let now = self.clock.now();
        let expires_at = now.plus(std::time::Duration::from_secs(u64::from(new.days) * DAY_SECONDS));
        let (mut sealed, mut stored) = (Vec::new(), Vec::new());
        for _ in 0..new.count {
            let code = BreakGlassCode::from_random(random(self.random.as_ref())?);
            let as_stored = SealedCode {
                id: BreakGlassCodeId::from_random(random(self.random.as_ref())?),
                hash: hash_of(code.secret().reveal()),
                label: label.clone(),
                agents: new.agents.clone(),
                sealed_by: by.clone(),
                sealed_at: now,
                expires_at,
            };
            let state = state_of(ListedCode { code: as_stored.clone(), used: false });
            sealed.push(NewCode { code: code.secret().clone(), state });
            stored.push(as_stored);
        }
        self.store.add_sealed_codes(&stored).await?;
        let count = stored.len();
        tracing::warn!(%by, count, label, agents = new.agents.join(", "), "break-glass codes were sealed");
        Ok(SealedCodes { codes: sealed })
    }

    /// Codes that have not expired, the first to expire first.
    pub async fn sealed_codes(&self, bearer: Option<&Secret>) -> Result<CodeList, Refusal> {
        self.actor(bearer, Right::View, On::Broker).await?;
        let listed = self.store.sealed_codes(self.clock.now()).await?;
        Ok(CodeList { codes: listed.into_iter().map(state_of).collect() })
    }

    /// Deletes a code. A grant that was taken with it ends when its heartbeats are not accepted any more.
    pub async fn revoke_code(&self, bearer: Option<&Secret>, id: &BreakGlassCodeId) -> Result<(), Refusal> {
        let by = self.actor(bearer, Right::Register, On::Broker).await?;
        let removed = self.store.remove_sealed_code(id).await?;
        let code = removed.ok_or_else(|| {
            Refusal::new(ErrorCode::BreakGlassCodeNotFound, format!("no code is sealed as `{id}`"))
                .hint("`cloudanix-jit break-glass codes` lists them")
        })?;
        tracing::warn!(%by, code = %code.id, label = code.label, "a break-glass code was revoked");
        Ok(())
    }
}

/// Consumes the code for one idempotency key, as an OIDC token is consumed.
fn consumed(code: &SealedCode) -> ReplayGuard {
    let forget_after = code.expires_at.plus(SEALED_CODES_KEPT_FOR);
    ReplayGuard { token_hash: code.hash.clone(), bound_to: None, forget_after }
}

fn state_of(listed: ListedCode) -> CodeState {
    let ListedCode { code, used } = listed;
    let SealedCode { id, hash: _, label, agents, sealed_by, sealed_at, expires_at } = code;
    CodeState { id, label, agents, sealed_by, sealed_at, expires_at, used }
}

fn not_to_be_reviewed(record: &GrantRecord) -> Refusal {
    let review = record.grant.break_glass.as_ref().and_then(|taken| taken.review.as_ref());
    match (&record.grant.state, review) {
        (_, Some(review)) => Refusal::new(
            ErrorCode::AlreadyReviewed,
            format!("the grant was reviewed by {} at {}", review.by.in_words(), review.at),
        ),
        (State::Denied { .. } | State::Failed { .. }, None) => {
            Refusal::new(ErrorCode::InvalidRequest, "the grant never became active: it needs no review")
        }
        (
            State::Waiting(_)
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Active { .. }
            | State::Ending(_)
            | State::Revoked { .. },
            None,
        ) => Refusal::new(
            ErrorCode::GrantLive,
            format!("the grant is {}: it is reviewed when it has ended", record.grant.status().as_str()),
        )
        .hint(format!("`cloudanix-jit revoke {}` ends it", record.grant.id)),
    }
}

/// Checks that need no identity.
fn well_formed(request: &BreakGlassRequest) -> Result<(), Refusal> {
    access_well_formed(&request.policies, request.target.as_deref(), &request.claimed)?;
    text("incident", &request.incident, MAX_INCIDENT)?;
    text("reason", &request.reason, protocol::elevate::MAX_REASON)?;
    if request.ttl.as_secs() > LONGEST_SECONDS {
        return Err(Refusal::new(
            ErrorCode::TtlTooLong,
            format!("ttl: expected at most `1h` for break-glass, found `{}`", request.ttl),
        ));
    }
    Ok(())
}

fn codes_well_formed(new: &NewCodes) -> Result<String, Refusal> {
    let range = |name: &str, found: u32, most: u32| match (1..=most).contains(&found) {
        true => Ok(()),
        false => {
            let detail = format!("{name}: expected 1 to {most}, found {found}");
            Err(Refusal::new(ErrorCode::InvalidRequest, detail))
        }
    };
    range("count", new.count, MAX_CODES)?;
    range("days", new.days, MAX_DAYS)?;
    range("agents", u32::try_from(new.agents.len()).unwrap_or(u32::MAX), 100)?;
    for glob in &new.agents {
        agent_glob(glob)?;
    }
    text("label", &new.label, MAX_LABEL)
}

/// A text that is required, without blanks around it.
fn text(name: &str, text: &str, most: usize) -> Result<String, Refusal> {
    let trimmed = text.trim();
    let found = trimmed.chars().count();
    if (1..=most).contains(&found) {
        return Ok(trimmed.to_owned());
    }
    let detail = format!("{name}: expected 1 to {most} characters, found {found}");
    Err(Refusal::new(ErrorCode::InvalidRequest, detail))
}

/// SHA-256 of the terms, and of who takes the grant: another person does not join it.
fn request_hash(request: &BreakGlassRequest, by: &Actor) -> String {
    let (by, ttl) = (by.to_string(), request.ttl.to_string());
    let terms = [
        "break-glass",
        request.agent_id.as_str(),
        &ttl,
        request.target.as_deref().unwrap_or_default(),
        &request.incident,
        &request.reason,
        &by,
    ];
    hash_of_parts(terms.into_iter().chain(request.policies.iter().map(protocol::PolicyName::as_str)))
}
