//! Sends every call to another broker's store than the call before.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::grant::Transition;
use domain::{Agent, AgentStatus, Lease, NewEvent, ReplayGuard};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};
use store::{
    AfterUpdate, Applied, Created, DenialOutcome, DeniedRequest, Due, EventPosition, GrantRecord,
    HeartbeatOutcome, Listing, LockRequest, Ownership, PositionedEvent, Postgres, Precondition, Registering,
    Release, ResourceLock, RevokeByKey, SaveOutcome, Store, StoreError, StoredKey, StoredToken,
};

/// Two brokers' stores on one database, used in turn.
pub(crate) struct Replicas {
    both: [Postgres; 2],
    second: AtomicBool,
}

impl Replicas {
    pub(crate) fn new(one: Postgres, other: Postgres) -> Self {
        Self { both: [one, other], second: AtomicBool::new(false) }
    }

    fn next(&self) -> &Postgres {
        &self.both[usize::from(self.second.fetch_xor(true, Ordering::Relaxed))]
    }
}

/// Forwards every method to the store whose turn it is.
macro_rules! in_turn {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait::async_trait]
        impl Store for Replicas {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$answer, StoreError> {
                self.next().$name($($argument),*).await
            })+
        }
    };
}

in_turn! {
    ping() -> ();
    apply_agent(registering: Registering<'_>) -> Applied;
    agent(id: &AgentId) -> Option<Arc<Agent>>;
    agents(after: Option<&AgentId>, limit: u32) -> Vec<Arc<Agent>>;
    set_agent_status(id: &AgentId, status: AgentStatus, now: Timestamp) -> Option<Arc<Agent>>;
    credential(token_id: &str) -> Option<(StoredToken, Arc<Agent>)>;
    tokens(id: &AgentId, now: Timestamp) -> Vec<StoredToken>;
    rotate_token(new: &StoredToken, others_expire_at: Timestamp) -> bool;
    revoke_token(id: &AgentId, token_id: &str) -> bool;
    create_grant(transition: &Transition, lease: Option<Lease>, replay: Option<&ReplayGuard>, most_active: Option<NonZeroU32>) -> Created;
    record_denied(denying: DeniedRequest<'_>) -> DenialOutcome;
    grant(id: &GrantId) -> Option<GrantRecord>;
    grant_by_key(agent: &AgentId, key: &IdempotencyKey) -> Option<GrantRecord>;
    save(before: &GrantRecord, transition: &Transition, guard: Precondition, release: Option<&Release>) -> SaveOutcome;
    add_events(id: &GrantId, events: &[NewEvent]) -> ();
    add_retry(id: &GrantId, now: Timestamp) -> ();
    heartbeat(id: &GrantId, agent: &AgentId, key: &IdempotencyKey, now: Timestamp) -> HeartbeatOutcome;
    revoke_key(agent: &AgentId, key: &IdempotencyKey, forget_after: Timestamp) -> RevokeByKey;
    lock_shared_object(request: LockRequest<'_>) -> Option<ResourceLock>;
    update_shared_object(lock: &ResourceLock, ownership: Ownership, delete_may_land_until: Option<Timestamp>, after: AfterUpdate) -> bool;
    other_references(object: &str, grant: &GrantId) -> u32;
    list(listing: &Listing) -> Vec<GrantRecord>;
    claim_due(due: Due) -> Vec<GrantRecord>;
    count_by_status() -> BTreeMap<GrantStatus, u64>;
    events(id: &GrantId) -> Vec<TimelineEvent>;
    events_after(position: EventPosition, limit: u32) -> Vec<PositionedEvent>;
    signing_keys() -> Vec<StoredKey>;
    add_signing_key(key: &StoredKey, newest: Option<&str>) -> bool;
    remove_signing_keys(before: Timestamp) -> ();
    purge(now: Timestamp) -> ();
}
