//! A store at which the process can die: before a transaction, or after it was committed and before anybody
//! heard of it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use domain::grant::Transition;
use domain::{Agent, AgentStatus, Lease, NewEvent, ReplayGuard};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};
use store::{
    AfterUpdate, Applied, Created, DenialOutcome, DeniedRequest, Due, EventPosition, GrantRecord,
    HeartbeatOutcome, Listing, LockRequest, Ownership, PositionedEvent, Precondition, Registering, Release,
    ResourceLock, RevokeByKey, SaveOutcome, Store, StoreError, StoredKey, StoredToken,
};

use super::Gate;

pub(crate) struct GatedStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) gate: Arc<Gate>,
}

#[async_trait]
impl Store for GatedStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.gate.working(self.inner.ping()).await
    }

    async fn apply_agent(&self, registering: Registering<'_>) -> Result<Applied, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.apply_agent(registering)).await;
        self.gate.pass().await;
        done
    }

    async fn agent(&self, id: &AgentId) -> Result<Option<Arc<Agent>>, StoreError> {
        self.gate.working(self.inner.agent(id)).await
    }

    async fn agents(&self, after: Option<&AgentId>, limit: u32) -> Result<Vec<Arc<Agent>>, StoreError> {
        self.gate.working(self.inner.agents(after, limit)).await
    }

    async fn set_agent_status(
        &self,
        id: &AgentId,
        status: AgentStatus,
        now: Timestamp,
    ) -> Result<Option<Arc<Agent>>, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.set_agent_status(id, status, now)).await;
        self.gate.pass().await;
        done
    }

    async fn credential(&self, token_id: &str) -> Result<Option<(StoredToken, Arc<Agent>)>, StoreError> {
        self.gate.working(self.inner.credential(token_id)).await
    }

    async fn tokens(&self, id: &AgentId, now: Timestamp) -> Result<Vec<StoredToken>, StoreError> {
        self.gate.working(self.inner.tokens(id, now)).await
    }

    async fn rotate_token(&self, new: &StoredToken, others_expire_at: Timestamp) -> Result<bool, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.rotate_token(new, others_expire_at)).await;
        self.gate.pass().await;
        done
    }

    async fn revoke_token(&self, id: &AgentId, token_id: &str) -> Result<bool, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.revoke_token(id, token_id)).await;
        self.gate.pass().await;
        done
    }

    async fn lock_shared_object(&self, holding: LockRequest<'_>) -> Result<Option<ResourceLock>, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.lock_shared_object(holding)).await;
        self.gate.pass().await;
        done
    }

    async fn update_shared_object(
        &self,
        lock: &ResourceLock,
        ownership: Ownership,
        delete_may_land_until: Option<Timestamp>,
        then: AfterUpdate,
    ) -> Result<bool, StoreError> {
        self.gate.pass().await;
        let done = self
            .gate
            .working(self.inner.update_shared_object(lock, ownership, delete_may_land_until, then))
            .await;
        self.gate.pass().await;
        done
    }

    async fn other_references(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError> {
        let done = self.gate.working(self.inner.other_references(object, grant)).await;
        self.gate.pass().await;
        done
    }

    async fn create_grant(
        &self,
        moved: &Transition,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
    ) -> Result<Created, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.create_grant(moved, lease, replay, most_active)).await;
        self.gate.pass().await;
        done
    }

    async fn record_denied(&self, denying: DeniedRequest<'_>) -> Result<DenialOutcome, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.record_denied(denying)).await;
        self.gate.pass().await;
        done
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<GrantRecord>, StoreError> {
        self.gate.working(self.inner.grant(id)).await
    }

    async fn grant_by_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Option<GrantRecord>, StoreError> {
        self.gate.working(self.inner.grant_by_key(agent, key)).await
    }

    async fn save(
        &self,
        before: &GrantRecord,
        moved: &Transition,
        guard: Precondition,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.save(before, moved, guard, release)).await;
        self.gate.pass().await;
        done
    }

    async fn add_events(&self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.add_events(id, events)).await;
        self.gate.pass().await;
        done
    }

    async fn add_retry(&self, id: &GrantId, now: Timestamp) -> Result<(), StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.add_retry(id, now)).await;
        self.gate.pass().await;
        done
    }

    async fn heartbeat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<HeartbeatOutcome, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.heartbeat(id, agent, key, now)).await;
        self.gate.pass().await;
        done
    }

    async fn revoke_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<RevokeByKey, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.revoke_key(agent, key, forget_after)).await;
        self.gate.pass().await;
        done
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<GrantRecord>, StoreError> {
        self.gate.working(self.inner.list(listing)).await
    }

    async fn claim_due(&self, due: Due) -> Result<Vec<GrantRecord>, StoreError> {
        self.gate.pass().await;
        let done = self.gate.working(self.inner.claim_due(due)).await;
        self.gate.pass().await;
        done
    }

    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
        self.gate.working(self.inner.count_by_status()).await
    }

    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError> {
        self.gate.working(self.inner.events(id)).await
    }

    async fn events_after(
        &self,
        position: EventPosition,
        limit: u32,
    ) -> Result<Vec<PositionedEvent>, StoreError> {
        self.gate.working(self.inner.events_after(position, limit)).await
    }

    async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.gate.working(self.inner.signing_keys()).await
    }

    async fn add_signing_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError> {
        self.gate.working(self.inner.add_signing_key(key, newest)).await
    }

    async fn remove_signing_keys(&self, before: Timestamp) -> Result<(), StoreError> {
        self.gate.working(self.inner.remove_signing_keys(before)).await
    }

    async fn purge(&self, now: Timestamp) -> Result<(), StoreError> {
        self.gate.working(self.inner.purge(now)).await
    }
}
