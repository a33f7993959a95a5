//! Stores everything in this process, for tests and simulations.
//!
//! Nothing survives, so no broker uses it. Every call completes without waiting, so a simulated run is the same each
//! time.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::facts::RunFacts;
use domain::grant::Transition;
use domain::{Agent, AgentStatus, Decision, Grant, Lease, NewEvent, ReplayGuard, RuleSetDigest, Session};
use protocol::actions::Action;
use protocol::agents::Outcome;
use protocol::posture::PostureOutcome;
use protocol::rules::{RuleSetFiles, RulesState};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};

use crate::context_rows::Seen;
use crate::error::corrupt;
use crate::{
    ActionsAdded, AfterUpdate, Applied, ContextRequest, Created, DecisionContext, DecisionFilter,
    DenialOutcome, DeniedRequest, Due, EventFilter, EventPosition, GrantRecord, HeartbeatOutcome, Listing,
    LockPurpose, LockRequest, NewDecision, ObservationListing, Ownership, PendingSession, PositionedEvent,
    PostureListing, PostureStatement, Precondition, Reevaluation, Registering, Release, ResourceLock,
    RevokeByKey, SaveOutcome, Store, StoreError, StoredDecision, StoredKey, StoredObservation, StoredPosture,
    StoredSession, StoredToken,
};

mod agents;
mod break_glass;
mod decisions;
mod grants;
mod notifications;
mod posture;
mod reevaluations;
mod rules;
mod sessions;
mod shared_objects;
mod signing_keys;
mod standing_approvals;

use agents::Agents;
use decisions::Decisions;
use grants::Grants;
use notifications::Outbox;
use posture::Posture;
use reevaluations::Reevaluated;
use rules::Rules;
use sessions::Sessions;
use shared_objects::Objects;
use signing_keys::SigningKeys;
use standing_approvals::Approved;

/// The store in memory.
#[derive(Default)]
pub struct Memory {
    kept: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    agents: Agents,
    grants: Grants,
    objects: Objects,
    keys: SigningKeys,
    rules: Rules,
    decisions: Decisions,
    posture: Posture,
    sessions: Sessions,
    standing_approvals: Approved,
    outbox: Outbox,
    sealed_codes: break_glass::Codes,
}

/// Whether what a decision was made from still holds.
fn is_unchanged(
    seen: &Seen,
    grant: &Grant,
    grants: &Grants,
    agents: &Agents,
    rules: &Rules,
    posture: &Posture,
) -> bool {
    let no_more_than = |seen_then: RunFacts| {
        let now = grants.run_facts(&grant.agent_id, grant.run.as_deref(), None, seen.at);
        now.live <= seen_then.live
            && now.last_hour <= seen_then.last_hour
            && now.agent_live <= seen_then.agent_live
            && now.agent_last_hour <= seen_then.agent_last_hour
    };
    rules.current().version == seen.rules_version
        && agents.find(&grant.agent_id).map(|agent| agent.revision) == seen.agent_revision
        && seen.run.is_none_or(no_more_than)
        && seen.posture.as_ref().is_none_or(|(subjects, seq)| posture.seq(subjects) == *seq)
}

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Tables> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn apply_agent(&self, registering: Registering<'_>) -> Result<Applied, StoreError> {
        let Tables { agents, grants, .. } = &mut *self.kept();
        let (id, now) = (registering.registration.id.clone(), registering.now);
        let applied = agents.apply(registering);
        if applied == Applied::Done(Outcome::Updated) {
            grants.mark_of_agent(&id, now);
        }
        Ok(applied)
    }

    async fn agent(&self, id: &AgentId) -> Result<Option<Arc<Agent>>, StoreError> {
        Ok(self.kept().agents.find(id))
    }

    async fn agents(&self, after: Option<&AgentId>, limit: u32) -> Result<Vec<Arc<Agent>>, StoreError> {
        Ok(self.kept().agents.page(after, limit))
    }

    async fn set_agent_status(
        &self,
        id: &AgentId,
        status: AgentStatus,
        now: Timestamp,
    ) -> Result<Option<Arc<Agent>>, StoreError> {
        Ok(self.kept().agents.set_status(id, status, now))
    }

    async fn credential(&self, token_id: &str) -> Result<Option<(StoredToken, Arc<Agent>)>, StoreError> {
        Ok(self.kept().agents.credential(token_id))
    }

    async fn tokens(&self, id: &AgentId, now: Timestamp) -> Result<Vec<StoredToken>, StoreError> {
        Ok(self.kept().agents.accepted(id, now))
    }

    async fn rotate_token(&self, new: &StoredToken, others_expire_at: Timestamp) -> Result<bool, StoreError> {
        Ok(self.kept().agents.rotate(new, others_expire_at))
    }

    async fn revoke_token(&self, id: &AgentId, token_id: &str) -> Result<bool, StoreError> {
        Ok(self.kept().agents.remove_token(id, token_id))
    }

    async fn create_grant(
        &self,
        transition: &Transition,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
        decision: Option<&NewDecision<'_>>,
    ) -> Result<Created, StoreError> {
        let Tables { agents, grants, objects, rules, posture, decisions, .. } = &mut *self.kept();
        let is_off = agents
            .find(&transition.grant.agent_id)
            .is_some_and(|agent| agent.status == AgentStatus::Disabled);
        if is_off {
            return Ok(Created::AgentDisabled);
        }
        let seen = decision.map(Seen::of);
        let unchanged = |grants: &Grants| {
            seen.as_ref()
                .is_none_or(|seen| is_unchanged(seen, &transition.grant, grants, agents, rules, posture))
        };
        let mut created = grants.create(transition, lease, replay, most_active, unchanged)?;
        if let Created::New(record) = &mut created {
            objects.update_references(&transition.grant);
            if let Some(new) = decision {
                decisions.record(Some(&transition.grant.id), None, new.decision)?;
                grants.schedule(&transition.grant.id, new.reevaluate_at);
                record.reevaluation = new.reevaluate_at.map(|at| Reevaluation { at, mark: 0 });
            }
        }
        Ok(created)
    }

    async fn record_denied(&self, denying: DeniedRequest<'_>) -> Result<DenialOutcome, StoreError> {
        let Tables { grants, decisions, .. } = &mut *self.kept();
        let outcome = grants.deny(denying)?;
        if let (DenialOutcome::New, Some(decision)) = (outcome, denying.decision) {
            decisions.record(Some(&denying.transition.grant.id), None, decision)?;
        }
        Ok(outcome)
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<GrantRecord>, StoreError> {
        Ok(self.kept().grants.find(id))
    }

    async fn grant_by_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Option<GrantRecord>, StoreError> {
        Ok(self.kept().grants.find_by_key(agent, key))
    }

    async fn save(
        &self,
        before: &GrantRecord,
        transition: &Transition,
        guard: Precondition,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError> {
        let Tables { grants, objects, .. } = &mut *self.kept();
        if let Some(Release { lock, ownership, delete_may_land_until }) = release
            && !objects.update(lock, *ownership, *delete_may_land_until, AfterUpdate::ReleaseLock)
        {
            return Ok(SaveOutcome::LockLost);
        }
        let saved = grants.save(before, transition, guard);
        if matches!(saved, SaveOutcome::Done(_)) {
            objects.update_references(&transition.grant);
        }
        Ok(saved)
    }

    async fn add_events(&self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError> {
        self.kept().grants.append(id, events)
    }

    async fn add_retry(&self, id: &GrantId, now: Timestamp) -> Result<(), StoreError> {
        self.kept().grants.append_retry(id, now)
    }

    async fn heartbeat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<HeartbeatOutcome, StoreError> {
        Ok(self.kept().grants.heartbeat(id, agent, key, now))
    }

    async fn revoke_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<RevokeByKey, StoreError> {
        Ok(self.kept().grants.revoke_key(agent, key, forget_after))
    }

    async fn lock_shared_object(&self, request: LockRequest<'_>) -> Result<Option<ResourceLock>, StoreError> {
        let Tables { grants, objects, .. } = &mut *self.kept();
        let (mut others, mut ending_since) = (0, None);
        for id in objects.references(request.object).filter(|id| *id != request.grant) {
            others += u32::from(grants.is_live(id));
            let since = grants.ending_since(id);
            ending_since = ending_since.into_iter().chain(since).min();
        }
        let grant_is_current = match request.purpose {
            LockPurpose::Attach { version } => grants.is_at(request.grant, version),
            LockPurpose::Detach { .. } | LockPurpose::Inspect => true,
        };
        Ok(objects.lock(request, others, grant_is_current, ending_since))
    }

    async fn update_shared_object(
        &self,
        lock: &ResourceLock,
        ownership: Ownership,
        delete_may_land_until: Option<Timestamp>,
        after: AfterUpdate,
    ) -> Result<bool, StoreError> {
        Ok(self.kept().objects.update(lock, ownership, delete_may_land_until, after))
    }

    async fn other_references(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError> {
        let kept = self.kept();
        let others = kept.objects.references(object).filter(|id| *id != grant);
        let living = others.filter(|id| kept.grants.is_live(id));
        Ok(u32::try_from(living.count()).unwrap_or(u32::MAX))
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<GrantRecord>, StoreError> {
        Ok(self.kept().grants.list(listing))
    }

    async fn claim_due(&self, due: Due) -> Result<Vec<GrantRecord>, StoreError> {
        Ok(self.kept().grants.claim(due))
    }

    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
        Ok(self.kept().grants.count_by_status())
    }

    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError> {
        Ok(self.kept().grants.events(id))
    }

    async fn events_after(
        &self,
        position: EventPosition,
        which: EventFilter,
        limit: u32,
    ) -> Result<Vec<PositionedEvent>, StoreError> {
        Ok(self.kept().grants.events_after(position, which, limit))
    }

    async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        Ok(self.kept().keys.all())
    }

    async fn add_signing_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError> {
        Ok(self.kept().keys.add(key, newest))
    }

    async fn remove_signing_keys(&self, before: Timestamp) -> Result<(), StoreError> {
        self.kept().keys.remove(before);
        Ok(())
    }

    async fn rules(&self) -> Result<RulesState, StoreError> {
        Ok(self.kept().rules.current())
    }

    async fn rule_set(&self, digest: &RuleSetDigest) -> Result<Option<RuleSetFiles>, StoreError> {
        Ok(self.kept().rules.set(digest))
    }

    async fn rules_history(&self, before: Option<i64>, limit: u32) -> Result<Vec<RulesState>, StoreError> {
        Ok(self.kept().rules.history(before, limit))
    }

    async fn change_rules(
        &self,
        expected: i64,
        next: &RulesState,
        files: Option<&RuleSetFiles>,
    ) -> Result<Option<RulesState>, StoreError> {
        let Tables { rules, grants, .. } = &mut *self.kept();
        let changed = rules.change(expected, next, files)?;
        if changed.is_some() {
            grants.mark_every_live(next.at);
        }
        Ok(changed)
    }

    async fn decision_context(&self, request: ContextRequest<'_>) -> Result<DecisionContext, StoreError> {
        let ContextRequest { agent, run, subjects, except, now } = request;
        let kept = self.kept();
        Ok(DecisionContext {
            at: now,
            rules_version: kept.rules.current().version,
            agent_revision: kept.agents.find(agent).map(|agent| agent.revision),
            run: kept.grants.run_facts(agent, run, except, now),
            subjects: subjects.to_vec(),
            posture: kept.posture.about(subjects, now),
            posture_seq: kept.posture.seq(subjects),
        })
    }

    async fn record_decision(&self, grant: Option<&GrantId>, decision: &Decision) -> Result<i64, StoreError> {
        let mut kept = self.kept();
        if let Some(id) = grant.filter(|id| kept.grants.find(id).is_none()) {
            return Err(corrupt("the grant of a decision", format!("there is no grant `{id}`")));
        }
        kept.decisions.record(grant, None, decision)
    }

    async fn decisions_after(
        &self,
        number: i64,
        filter: DecisionFilter<'_>,
        limit: u32,
    ) -> Result<Vec<StoredDecision>, StoreError> {
        let kept = self.kept();
        let mut found = kept.decisions.after(number, filter, limit);
        for one in &mut found {
            one.grant = one.grant.take().filter(|id| kept.grants.find(id).is_some());
        }
        Ok(found)
    }

    async fn decisions_of(&self, grant: &GrantId) -> Result<Vec<StoredDecision>, StoreError> {
        let kept = self.kept();
        Ok(kept.grants.find(grant).map(|_| kept.decisions.of_grant(grant)).unwrap_or_default())
    }

    async fn reevaluated(
        &self,
        record: &GrantRecord,
        mark: i64,
        decision: Option<&Decision>,
        next: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let Tables { grants, decisions, .. } = &mut *self.kept();
        let outcome = grants.reevaluated(record, mark, next);
        if let (Reevaluated::Done, Some(decision)) = (outcome, decision) {
            decisions.record(Some(&record.grant.id), None, decision)?;
        }
        Ok(outcome == Reevaluated::Done)
    }

    async fn put_posture(
        &self,
        statement: &PostureStatement,
        now: Timestamp,
    ) -> Result<PostureOutcome, StoreError> {
        let Tables { posture, grants, .. } = &mut *self.kept();
        let outcome = posture.put(statement, now);
        if outcome == PostureOutcome::Changed {
            grants.mark_of_subject(&statement.subject, now);
        }
        Ok(outcome)
    }

    async fn list_posture(&self, listing: PostureListing<'_>) -> Result<Vec<StoredPosture>, StoreError> {
        Ok(self.kept().posture.list(listing))
    }

    async fn add_session(&self, new: PendingSession<'_>) -> Result<(), StoreError> {
        self.kept().sessions.add(new);
        Ok(())
    }

    async fn exchange_code(
        &self,
        code_hash: &str,
        challenge: &str,
        token_hash: &str,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        Ok(self.kept().sessions.exchange(code_hash, challenge, token_hash, now))
    }

    async fn session(&self, token_hash: &str) -> Result<Option<StoredSession>, StoreError> {
        Ok(self.kept().sessions.get(token_hash))
    }

    async fn session_used(&self, token_hash: &str, now: Timestamp) -> Result<(), StoreError> {
        self.kept().sessions.used(token_hash, now);
        Ok(())
    }

    async fn remove_session(&self, token_hash: &str) -> Result<bool, StoreError> {
        Ok(self.kept().sessions.remove(token_hash))
    }

    async fn sessions(&self, now: Timestamp, limit: u32) -> Result<Vec<StoredSession>, StoreError> {
        Ok(self.kept().sessions.list(now, limit))
    }

    async fn remove_sessions_of(&self, issuer: &str, subject: &str) -> Result<u64, StoreError> {
        Ok(self.kept().sessions.remove_of(issuer, subject))
    }

    async fn record_observation(&self, id: &str, decision: &Decision) -> Result<(), StoreError> {
        self.kept().decisions.record(None, Some(id), decision)?;
        Ok(())
    }

    async fn add_observed_actions(
        &self,
        id: &str,
        agent: &AgentId,
        actions: &[Action],
    ) -> Result<ActionsAdded, StoreError> {
        Ok(self.kept().decisions.add_actions(id, agent, actions))
    }

    async fn observations(
        &self,
        listing: ObservationListing<'_>,
    ) -> Result<Vec<StoredObservation>, StoreError> {
        Ok(self.kept().decisions.observations(listing))
    }

    async fn purge(&self, now: Timestamp, keep_decisions: Duration) -> Result<(), StoreError> {
        let mut kept = self.kept();
        kept.agents.purge(now);
        kept.grants.purge(now);
        kept.posture.purge(now);
        kept.sessions.purge(now);
        kept.standing_approvals.purge(now);
        kept.outbox.purge(now);
        kept.sealed_codes.purge(now);
        kept.decisions.purge(now.minus(keep_decisions));
        Ok(())
    }
}
