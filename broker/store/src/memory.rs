//! How is a store kept for a run that nobody has to remember? In this process, without a thread or a file.
//!
//! Nothing of it survives, so no broker is served by it. It is for tests and simulations that play thousands of
//! runs, each the same whenever it is played: no answer waits for anything, so it is there at once.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::grant::Moved;
use domain::{Agent, AgentStatus, Lease, NewEvent, ReplayGuard};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};

use crate::{
    Applied, Beat, Created, Denying, Due, Guard, Hold, Holding, KeyGivenBack, Listing, Recorded, Registering,
    Release, SaveOutcome, Store, StoreError, Stored, StoredKey, StoredToken, Then, To, Whose,
};

mod agents;
mod grants;
mod keys;
mod objects;

use agents::Agents;
use grants::Grants;
use keys::Keys;
use objects::Objects;

/// The store in memory.
#[derive(Default)]
pub struct Memory {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    agents: Agents,
    grants: Grants,
    objects: Objects,
    keys: Keys,
}

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
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
        moved: &Moved,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
    ) -> Result<Created, StoreError> {
        let Kept { agents, grants, objects, .. } = &mut *self.kept();
        let is_off =
            agents.find(&moved.grant.agent_id).is_some_and(|agent| agent.status == AgentStatus::Disabled);
        if is_off {
            return Ok(Created::AgentDisabled);
        }
        let created = grants.create(moved, lease, replay, most_active)?;
        if matches!(created, Created::New(_)) {
            objects.need(&moved.grant);
        }
        Ok(created)
    }

    async fn record_denied(&self, denying: Denying<'_>) -> Result<Recorded, StoreError> {
        self.kept().grants.deny(denying)
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Stored>, StoreError> {
        Ok(self.kept().grants.find(id))
    }

    async fn grant_by_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Option<Stored>, StoreError> {
        Ok(self.kept().grants.find_by_key(agent, key))
    }

    async fn save(
        &self,
        before: &Stored,
        moved: &Moved,
        guard: Guard,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError> {
        let Kept { grants, objects, .. } = &mut *self.kept();
        if let Some(Release { hold, whose, may_go_until }) = release
            && !objects.note(hold, *whose, *may_go_until, Then::Release)
        {
            return Ok(SaveOutcome::LockLost);
        }
        let saved = grants.save(before, moved, guard);
        if matches!(saved, SaveOutcome::Done(_)) {
            objects.need(&moved.grant);
        }
        Ok(saved)
    }

    async fn add_events(&self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError> {
        self.kept().grants.tell(id, events)
    }

    async fn add_retry(&self, id: &GrantId, now: Timestamp) -> Result<(), StoreError> {
        self.kept().grants.tell_of_retry(id, now)
    }

    async fn beat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Beat, StoreError> {
        Ok(self.kept().grants.beat(id, agent, key, now))
    }

    async fn give_key_back(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<KeyGivenBack, StoreError> {
        Ok(self.kept().grants.give_key_back(agent, key, forget_after))
    }

    async fn hold_shared(&self, holding: Holding<'_>) -> Result<Option<Hold>, StoreError> {
        let Kept { grants, objects, .. } = &mut *self.kept();
        let (mut others, mut lands_since) = (0, None);
        for id in objects.needed_by(holding.object).filter(|id| *id != holding.grant) {
            others += u32::from(grants.lives_or_is_about_to(id));
            let since = grants.being_taken_back_since(id);
            lands_since = lands_since.into_iter().chain(since).min();
        }
        let lasts = match holding.to {
            To::Give { version } => grants.is_at(holding.grant, version),
            To::TakeBack { .. } | To::Look => true,
        };
        Ok(objects.hold(holding, others, lasts, lands_since))
    }

    async fn note_shared(
        &self,
        hold: &Hold,
        whose: Whose,
        may_go_until: Option<Timestamp>,
        then: Then,
    ) -> Result<bool, StoreError> {
        Ok(self.kept().objects.note(hold, whose, may_go_until, then))
    }

    async fn shared_with(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError> {
        let kept = self.kept();
        let others = kept.objects.needed_by(object).filter(|id| *id != grant);
        let living = others.filter(|id| kept.grants.lives_or_is_about_to(id));
        Ok(u32::try_from(living.count()).unwrap_or(u32::MAX))
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<Stored>, StoreError> {
        Ok(self.kept().grants.list(listing))
    }

    async fn claim_due(&self, due: Due) -> Result<Vec<Stored>, StoreError> {
        Ok(self.kept().grants.claim(due))
    }

    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
        Ok(self.kept().grants.count_by_status())
    }

    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError> {
        Ok(self.kept().grants.events(id))
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

    async fn forget(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut kept = self.kept();
        kept.agents.forget(now);
        kept.grants.forget(now);
        Ok(())
    }
}
