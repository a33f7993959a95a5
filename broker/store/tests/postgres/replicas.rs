//! What if every question goes to another broker than the one before?

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::grant::Moved;
use domain::{Agent, AgentStatus, Lease, NewEvent, ReplayGuard};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};
use store::{
    Applied, Beat, Created, Denying, Due, Guard, Hold, Holding, KeyGivenBack, Listing, Postgres, Recorded,
    Registering, Release, SaveOutcome, Store, StoreError, Stored, StoredKey, StoredToken, Then,
    Whose,
};

/// Two brokers' stores on one database, asked in turn.
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

/// Every method does what the next one in turn does.
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
    create_grant(moved: &Moved, lease: Option<Lease>, replay: Option<&ReplayGuard>, most_active: Option<NonZeroU32>) -> Created;
    record_denied(denying: Denying<'_>) -> Recorded;
    grant(id: &GrantId) -> Option<Stored>;
    grant_by_key(agent: &AgentId, key: &IdempotencyKey) -> Option<Stored>;
    save(before: &Stored, moved: &Moved, guard: Guard, release: Option<&Release>) -> SaveOutcome;
    add_events(id: &GrantId, events: &[NewEvent]) -> ();
    add_retry(id: &GrantId, now: Timestamp) -> ();
    beat(id: &GrantId, agent: &AgentId, key: &IdempotencyKey, now: Timestamp) -> Beat;
    give_key_back(agent: &AgentId, key: &IdempotencyKey, forget_after: Timestamp) -> KeyGivenBack;
    hold_shared(holding: Holding<'_>) -> Option<Hold>;
    note_shared(hold: &Hold, whose: Whose, may_go_until: Option<Timestamp>, then: Then) -> bool;
    shared_with(object: &str, grant: &GrantId) -> u32;
    list(listing: &Listing) -> Vec<Stored>;
    claim_due(due: Due) -> Vec<Stored>;
    count_by_status() -> BTreeMap<GrantStatus, u64>;
    events(id: &GrantId) -> Vec<TimelineEvent>;
    signing_keys() -> Vec<StoredKey>;
    add_signing_key(key: &StoredKey, newest: Option<&str>) -> bool;
    remove_signing_keys(before: Timestamp) -> ();
    forget(now: Timestamp) -> ();
}
