//! The one store as one replica sees it: slow, not there, or there and not heard.
//!
//! A call may be held up before it is done or after; it may fail before, and after it was done. What the store then
//! really did goes into the [`Ledger`](crate::ledger::Ledger), at the moment at which it did it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use domain::grant::Transition;
use domain::{Agent, AgentStatus, Lease, NewEvent, ReplayGuard};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};
use store::{
    AfterUpdate, Applied, Created, DenialOutcome, DeniedRequest, Due, EventPosition, GrantRecord,
    HeartbeatOutcome, Listing, LockRequest, Memory, Ownership, PositionedEvent, Precondition, Registering,
    Release, ResourceLock, RevokeByKey, SaveOutcome, Store, StoreError, StoredKey, StoredToken,
};

use crate::troubles;
use crate::weather::Link;
use crate::world::World;

pub(crate) struct FaultyStore {
    pub(crate) world: Arc<World>,
    pub(crate) link: Arc<Link>,
    /// Which replica asks, since its last start.
    pub(crate) who: usize,
    /// Where it runs.
    pub(crate) slot: usize,
}

impl FaultyStore {
    fn inner(&self) -> &Memory {
        &self.world.store
    }

    async fn held_up(&self, call: &str) {
        let World { dice, weather, .. } = &*self.world;
        if weather.strikes(dice, weather.store_delayed) {
            let most = if dice.chance(20) { 12_000 } else { 400 };
            tokio::time::sleep(dice.millis(1, most)).await;
        }
        match call {
            // So often that nothing else would ever be struck.
            "claim_due" => self.link.awake().await,
            _ => troubles::may_strike(&self.world, self.slot).await,
        }
    }

    fn fails(&self, call: &str, when: &str, permille: u64) -> Result<(), StoreError> {
        let cut = self.link.store_cut.load(Ordering::SeqCst);
        if !cut && !self.world.weather.strikes(&self.world.dice, permille) {
            return Ok(());
        }
        self.world.trace.say(&format!("replica {} · {call} fails {when}", self.who));
        Err(StoreError::Unavailable("simulated".into()))
    }

    async fn ask<T>(
        &self,
        call: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.held_up(call).await;
        self.fails(call, "before it is done", self.world.weather.store_fails)?;
        let done = work.await;
        self.held_up(call).await;
        self.fails(call, "after it was done", self.world.weather.store_unheard)?;
        done
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.ask("ping", self.inner().ping()).await
    }

    async fn apply_agent(&self, registering: Registering<'_>) -> Result<Applied, StoreError> {
        self.ask("apply_agent", self.inner().apply_agent(registering)).await
    }

    async fn agent(&self, id: &AgentId) -> Result<Option<Arc<Agent>>, StoreError> {
        self.ask("agent", self.inner().agent(id)).await
    }

    async fn agents(&self, after: Option<&AgentId>, limit: u32) -> Result<Vec<Arc<Agent>>, StoreError> {
        self.ask("agents", self.inner().agents(after, limit)).await
    }

    async fn set_agent_status(
        &self,
        id: &AgentId,
        status: AgentStatus,
        now: Timestamp,
    ) -> Result<Option<Arc<Agent>>, StoreError> {
        self.ask("set_agent_status", self.inner().set_agent_status(id, status, now)).await
    }

    async fn credential(&self, token_id: &str) -> Result<Option<(StoredToken, Arc<Agent>)>, StoreError> {
        self.ask("credential", self.inner().credential(token_id)).await
    }

    async fn tokens(&self, id: &AgentId, now: Timestamp) -> Result<Vec<StoredToken>, StoreError> {
        self.ask("tokens", self.inner().tokens(id, now)).await
    }

    async fn rotate_token(&self, new: &StoredToken, others_expire_at: Timestamp) -> Result<bool, StoreError> {
        self.ask("rotate_token", self.inner().rotate_token(new, others_expire_at)).await
    }

    async fn revoke_token(&self, id: &AgentId, token_id: &str) -> Result<bool, StoreError> {
        self.ask("revoke_token", self.inner().revoke_token(id, token_id)).await
    }

    async fn create_grant(
        &self,
        moved: &Transition,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
    ) -> Result<Created, StoreError> {
        self.ask("create_grant", async {
            let created = self.inner().create_grant(moved, lease, replay, most_active).await?;
            if let Created::New(stored) = &created {
                self.world.ledger.created(self.who, &stored.grant);
            }
            Ok(created)
        })
        .await
    }

    async fn record_denied(&self, denying: DeniedRequest<'_>) -> Result<DenialOutcome, StoreError> {
        self.ask("record_denied", self.inner().record_denied(denying)).await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<GrantRecord>, StoreError> {
        self.ask("grant", self.inner().grant(id)).await
    }

    async fn grant_by_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Option<GrantRecord>, StoreError> {
        self.ask("grant_by_key", self.inner().grant_by_key(agent, key)).await
    }

    async fn save(
        &self,
        before: &GrantRecord,
        moved: &Transition,
        guard: Precondition,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError> {
        self.ask("save", async {
            let there = self.inner().grant(&before.grant.id).await?;
            let saved = self.inner().save(before, moved, guard, release).await?;
            if let Some(release) = release.filter(|_| !matches!(saved, SaveOutcome::LockLost)) {
                self.world.ledger.noted(self.who, &release.lock, release.ownership, AfterUpdate::ReleaseLock);
            }
            if let SaveOutcome::Done(stored) = &saved {
                let was = there.map(|there| there.version);
                self.world.ledger.saved(self.who, &stored.grant, was, before.version);
            }
            Ok(saved)
        })
        .await
    }

    async fn add_events(&self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError> {
        self.ask("add_events", self.inner().add_events(id, events)).await
    }

    async fn add_retry(&self, id: &GrantId, now: Timestamp) -> Result<(), StoreError> {
        self.ask("add_retry", self.inner().add_retry(id, now)).await
    }

    async fn heartbeat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<HeartbeatOutcome, StoreError> {
        self.ask("heartbeat", self.inner().heartbeat(id, agent, key, now)).await
    }

    async fn revoke_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<RevokeByKey, StoreError> {
        self.ask("revoke_key", self.inner().revoke_key(agent, key, forget_after)).await
    }

    async fn lock_shared_object(&self, holding: LockRequest<'_>) -> Result<Option<ResourceLock>, StoreError> {
        self.ask("lock_shared_object", async {
            let held = self.inner().lock_shared_object(holding).await?;
            if let Some(lock) = &held {
                self.world.ledger.held(self.who, lock);
            }
            Ok(held)
        })
        .await
    }

    async fn update_shared_object(
        &self,
        lock: &ResourceLock,
        ownership: Ownership,
        delete_may_land_until: Option<Timestamp>,
        then: AfterUpdate,
    ) -> Result<bool, StoreError> {
        self.ask("update_shared_object", async {
            let noted =
                self.inner().update_shared_object(lock, ownership, delete_may_land_until, then).await?;
            if noted {
                self.world.ledger.noted(self.who, lock, ownership, then);
            }
            Ok(noted)
        })
        .await
    }

    async fn other_references(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError> {
        self.ask("other_references", self.inner().other_references(object, grant)).await
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<GrantRecord>, StoreError> {
        self.ask("list", self.inner().list(listing)).await
    }

    async fn claim_due(&self, due: Due) -> Result<Vec<GrantRecord>, StoreError> {
        self.ask("claim_due", async {
            let claimed = self.inner().claim_due(due).await?;
            for stored in &claimed {
                self.world.ledger.claimed(self.who, &stored.grant.id, due.claimed_until);
            }
            Ok(claimed)
        })
        .await
    }

    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
        self.ask("count_by_status", self.inner().count_by_status()).await
    }

    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError> {
        self.ask("events", self.inner().events(id)).await
    }

    async fn events_after(
        &self,
        position: EventPosition,
        limit: u32,
    ) -> Result<Vec<PositionedEvent>, StoreError> {
        self.ask("events_after", self.inner().events_after(position, limit)).await
    }

    async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.ask("signing_keys", self.inner().signing_keys()).await
    }

    async fn add_signing_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError> {
        self.ask("add_signing_key", self.inner().add_signing_key(key, newest)).await
    }

    async fn remove_signing_keys(&self, before: Timestamp) -> Result<(), StoreError> {
        self.ask("remove_signing_keys", self.inner().remove_signing_keys(before)).await
    }

    async fn purge(&self, now: Timestamp) -> Result<(), StoreError> {
        self.ask("purge", self.inner().purge(now)).await
    }
}
