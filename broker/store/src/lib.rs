//! What survives a restart?
//!
//! One trait, [`Store`], and its two forms: [`Sqlite`] for one machine, [`Postgres`] for several brokers that share a
//! database. Every method is one transaction: when it returns, what it says is on disk. Timeline rows are written in
//! the transaction of the change that they describe, each with the hash of the row before it. [`Memory`] promises the
//! same for as long as nobody needs it to survive.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use domain::grant::Moved;
use domain::{Agent, AgentStatus, Grant, Lease, NewEvent, Registration, ReplayGuard};
use protocol::agents::Outcome;
use protocol::{AgentId, Denials, GrantId, GrantStatus, IdempotencyKey, Secret, TimelineEvent, Timestamp};

mod chain;
mod columns;
mod denials;
mod faults;
#[cfg(test)]
mod given;
mod holds;
mod memory;
pub mod postgres;
mod registrations;
mod replay;
mod rows;
mod sqlite;

pub use chain::RETRIES_TOLD;
pub use denials::{DENIALS_KEPT, DENIALS_KEPT_FOR, Denying, Recorded};
pub use holds::{Hold, Holding, Release, Then, To, Whose};
pub use memory::Memory;
pub use postgres::Postgres;
pub use sqlite::{OpenError, Place, Sqlite};

/// The store could not do it. The caller's request failed; nothing was half done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is full or is locked: a retry may work.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was read is not what was written.
    #[error("the database holds something unexpected: {what}")]
    Corrupt {
        /// What was expected and found.
        what: String,
    },
}

/// A grant as it is stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The grant.
    pub grant: Grant,
    /// The holder's promise to beat, if it made one.
    pub lease: Option<Lease>,
    /// Grows with every change; a change is made only to the version that was read (the fencing number).
    pub version: i64,
    /// Of a refused request: how often it was refused.
    pub denials: Option<Denials>,
    /// The last row of its timeline, if whoever read it has looked: a change writes behind it without a look of
    /// its own.
    pub(crate) last_row: Option<chain::LastRow>,
}

/// What became of a request to create a grant.
#[derive(Debug)]
pub enum Created {
    /// It is there now.
    New(Stored),
    /// The key's grant was there already, from the same request.
    Joined(Stored),
    /// The key's grant was there already, from another request.
    KeyConflict,
    /// The agent was switched off before the request arrived.
    AgentDisabled,
    /// The client gave the key back before the request arrived.
    Cancelled,
    /// The OIDC token had been used for something else.
    Replayed,
    /// The run has as many grants as it may have at once.
    TooManyActive,
}

/// What became of a change, and of the lock that was to be released with it.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per request, and read at once: a box would be in every pattern"
)]
pub enum SaveOutcome {
    /// The change is committed, and the lock is released.
    Done(Stored),
    /// Another driver changed the grant first: read it again. The lock is released.
    Conflict,
    /// Another driver took the lock over: nothing is committed. Only a save that releases a lock ends so.
    LockLost,
}

/// Which version of a grant may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The one that was read.
    Version,
    /// The one that was read, and its holder was not heard since.
    VersionAndSilence,
}

/// What became of a beat.
#[derive(Debug)]
pub enum Beat {
    /// The grant is active, and the beat counts.
    Heard(Stored),
    /// The grant is not active (any more).
    Ended(Stored),
    /// There is no such grant of this agent under this key.
    Unknown,
}

/// What became of giving a key back.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per request, and read at once: a box would be in every pattern"
)]
pub enum KeyGivenBack {
    /// The key has a grant.
    Grant(Stored),
    /// It has none, and will get none: a request that comes later is refused.
    Noted,
}

/// Which grants to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only those that are not final (`true`), only those that are (`false`).
    pub live: Option<bool>,
    /// Only this agent's.
    pub agent: Option<AgentId>,
    /// Those after this one, in the order of the listing (newest first).
    pub after: Option<GrantId>,
    /// At most so many.
    pub limit: u32,
}

/// An auth token as it is stored: the hash, never the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// The public part.
    pub id: String,
    /// Whose.
    pub agent_id: AgentId,
    /// SHA-256 of the whole token, in hexadecimal.
    pub hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops being accepted, once it was rotated.
    pub expires_at: Option<Timestamp>,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Made, changed, or as it was. The token was stored only if it was made.
    Done(Outcome),
    /// It exists, and only a new one was wanted.
    Exists,
}

/// Whether a registration may replace an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyMode {
    /// It may.
    Replace,
    /// Only a new agent is wanted.
    CreateOnly,
}

/// A registration to be stored.
#[derive(Debug)]
pub struct Registering<'a> {
    /// Checked.
    pub registration: &'a Registration,
    /// As it was written.
    pub source: &'a str,
    /// May it replace?
    pub mode: ApplyMode,
    /// The first token, for the case that the agent is new.
    pub token: &'a StoredToken,
    /// The time.
    pub now: Timestamp,
}

/// A key that signs `token` grants.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// Its `kid`.
    pub kid: String,
    /// PKCS#8 in PEM.
    pub private_pem: Secret,
    /// When it was made. The newest key signs.
    pub created_at: Timestamp,
}

/// Which work is due, and until when whoever takes it may keep it.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// The time.
    pub now: Timestamp,
    /// Since when this broker has been able to hear beats.
    pub ready_since: Timestamp,
    /// Nobody else gets the same work before.
    pub claimed_until: Timestamp,
    /// At most so many.
    pub limit: u32,
}

/// What the broker remembers.
#[async_trait]
pub trait Store: Send + Sync {
    /// Whether it can be read and written now.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Stores a registration; with it, if the agent is new, its first token.
    async fn apply_agent(&self, registering: Registering<'_>) -> Result<Applied, StoreError>;
    /// One agent.
    async fn agent(&self, id: &AgentId) -> Result<Option<Arc<Agent>>, StoreError>;
    /// Agents by id, those after `after`.
    async fn agents(&self, after: Option<&AgentId>, limit: u32) -> Result<Vec<Arc<Agent>>, StoreError>;
    /// Switches an agent on or off. None if there is no such agent.
    async fn set_agent_status(
        &self,
        id: &AgentId,
        status: AgentStatus,
        now: Timestamp,
    ) -> Result<Option<Arc<Agent>>, StoreError>;
    /// The token with this public part, and its agent.
    async fn credential(&self, token_id: &str) -> Result<Option<(StoredToken, Arc<Agent>)>, StoreError>;
    /// An agent's tokens that are accepted at `now`, oldest first.
    async fn tokens(&self, id: &AgentId, now: Timestamp) -> Result<Vec<StoredToken>, StoreError>;
    /// Adds a token, and lets the agent's others end at `others_expire_at` (or when they end anyway, if that
    /// is sooner). False if there is no such agent.
    async fn rotate_token(&self, new: &StoredToken, others_expire_at: Timestamp) -> Result<bool, StoreError>;
    /// Removes a token. False if the agent has no such token.
    async fn revoke_token(&self, id: &AgentId, token_id: &str) -> Result<bool, StoreError>;

    /// Stores a new grant with its intents (one for each step), its timeline rows and the use of its token;
    /// or says why not.
    ///
    /// With `most_active`, a run that has so many grants of the agent already, active or about to be, gets no other. A
    /// grant whose run is not known counts for every run, and a request whose run is not known counts every grant of the
    /// agent. Of two requests at once, the second sees the grant of the first.
    async fn create_grant(
        &self,
        moved: &Moved,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
    ) -> Result<Created, StoreError>;
    /// Stores a refused request with its timeline rows and the use of its token. The same request of the same agent
    /// (by its hash) is only counted.
    async fn record_denied(&self, denying: Denying<'_>) -> Result<Recorded, StoreError>;
    /// One grant.
    async fn grant(&self, id: &GrantId) -> Result<Option<Stored>, StoreError>;
    /// The agent's grant under this key.
    async fn grant_by_key(&self, agent: &AgentId, key: &IdempotencyKey)
    -> Result<Option<Stored>, StoreError>;
    /// Commits a transition of the grant that was read as `before`, with its events, and ends the claim. With `release`,
    /// the lock on a shared object is released in the same transaction: a driver that lost the lock changes nothing, and
    /// a driver that finds the grant changed releases the lock all the same.
    async fn save(
        &self,
        before: &Stored,
        moved: &Moved,
        guard: Guard,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError>;
    /// Writes rows that tell of no change.
    async fn add_events(&self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError>;
    /// Writes a row that tells that a retry joined the grant, if fewer than [`RETRIES_TOLD`] do; the last of them says
    /// so.
    async fn add_retry(&self, id: &GrantId, now: Timestamp) -> Result<(), StoreError>;
    /// The holder was heard. A beat never goes back in time, and never changes the version.
    async fn beat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Beat, StoreError>;
    /// Finds the key's grant, or makes sure that the key never gets one (until `forget_after`).
    async fn give_key_back(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<KeyGivenBack, StoreError>;
    /// Takes a shared object for oneself; nothing if somebody else has it. Which grants need it was written with
    /// the grants: what is counted here is counted when nobody else can change the object any more.
    async fn hold_shared(&self, holding: Holding<'_>) -> Result<Option<Hold>, StoreError>;
    /// Writes down whose it is, and until when it may go. False, and nothing written, if somebody held it since.
    async fn note_shared(
        &self,
        hold: &Hold,
        whose: Whose,
        may_go_until: Option<Timestamp>,
        then: Then,
    ) -> Result<bool, StoreError>;
    /// How many other grants, live or about to be, have a step on this object. Read after every change that was
    /// answered before.
    async fn shared_with(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError>;
    /// Newest first.
    async fn list(&self, listing: &Listing) -> Result<Vec<Stored>, StoreError>;
    /// Takes work that is due: grants whose time has come, or whose holder is silent for longer than its
    /// lease allows ([`Lease::lost_at`]). Claiming grows the version.
    async fn claim_due(&self, due: Due) -> Result<Vec<Stored>, StoreError>;
    /// How many grants stand where.
    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError>;
    /// A grant's rows in order, as they are stored.
    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError>;

    /// Every signing key, oldest first.
    async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError>;
    /// Adds a key, unless another was added since `newest` was the newest (so that two brokers that rotate at
    /// once make one key). True if it was added.
    async fn add_signing_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError>;
    /// Removes keys made before `before`, never the newest.
    async fn remove_signing_keys(&self, before: Timestamp) -> Result<(), StoreError>;

    /// Forgets uses of tokens, given-back keys and auth tokens whose time is over, and refused requests that did not
    /// come again for [`DENIALS_KEPT_FOR`].
    async fn forget(&self, now: Timestamp) -> Result<(), StoreError>;
}
