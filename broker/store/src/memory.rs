//! Stores everything in this process, for tests and simulations.
//!
//! Nothing survives, so no broker uses it. Every call completes without waiting, so a simulated run is the same each
//! time.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::grant::Transition;
use domain::{Agent, AgentStatus, Lease, NewEvent, ReplayGuard};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};

use crate::{
    AfterUpdate, Applied, Created, DenialOutcome, DeniedRequest, Due, EventPosition, GrantRecord,
    HeartbeatOutcome, Listing, LockPurpose, LockRequest, NewDecision, Ownership, PositionedEvent,
    Precondition, Registering, Release, ResourceLock, RevokeByKey, SaveOutcome, Store, StoreError, StoredKey,
    StoredToken,
};

mod agents;
mod grants;
mod shared_objects;
mod signing_keys;

use agents::Agents;
use grants::Grants;
use shared_objects::Objects;
use signing_keys::SigningKeys;

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
        Ok(self.kept().agents.apply(registering))
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
        _decision: Option<&NewDecision<'_>>,
    ) -> Result<Created, StoreError> {
        let Tables { agents, grants, objects, .. } = &mut *self.kept();
        let is_off = agents
            .find(&transition.grant.agent_id)
            .is_some_and(|agent| agent.status == AgentStatus::Disabled);
        if is_off {
            return Ok(Created::AgentDisabled);
        }
        let created = grants.create(transition, lease, replay, most_active)?;
        if matches!(created, Created::New(_)) {
            objects.update_references(&transition.grant);
        }
        Ok(created)
    }

    async fn record_denied(&self, denying: DeniedRequest<'_>) -> Result<DenialOutcome, StoreError> {
        self.kept().grants.deny(denying)
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
        limit: u32,
    ) -> Result<Vec<PositionedEvent>, StoreError> {
        Ok(self.kept().grants.events_after(position, limit))
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

    async fn purge(&self, now: Timestamp, _keep_decisions: Duration) -> Result<(), StoreError> {
        let mut kept = self.kept();
        kept.agents.purge(now);
        kept.grants.purge(now);
        Ok(())
    }
}
