//! Stores everything that survives a restart: agents, grants, events, locks and keys.
//!
//! [`Store`] is the trait. [`Sqlite`] serves one machine, [`Postgres`] serves several brokers that share a database, and
//! [`Memory`] serves tests and simulations. Every method is one transaction: when it returns, its effect is on disk. The
//! events of a transition are written in its transaction, each with the hash of the event before it.

#![expect(
    missing_docs,
    reason = "nothing outside the broker uses this crate: docs say what the names do not"
)]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::grant::Transition;
use domain::{
    Agent, AgentStatus, Decision, Grant, Lease, NewEvent, Registration, ReplayGuard, RuleSetDigest, Session,
};
use protocol::actions::Action;
use protocol::agents::Outcome;
use protocol::posture::PostureOutcome;
use protocol::rules::{RuleSetFiles, RulesState};
use protocol::{AgentId, Denials, GrantId, GrantStatus, IdempotencyKey, Secret, TimelineEvent, Timestamp};

mod break_glass;
mod chain;
mod columns;
mod context_rows;
mod decision_rows;
mod decisions;
mod denials;
mod error;
mod events;
mod memory;
mod notifications;
mod observations;
mod origin;
pub mod postgres;
mod posture;
mod registrations;
mod replay;
mod resource_lock;
mod rows;
mod sessions;
mod sqlite;
mod standing_approvals;
#[cfg(test)]
mod test_fixtures;

pub use break_glass::{ListedCode, SEALED_CODES_KEPT_FOR, SealedCodes};
pub use chain::RETRIES_RECORDED;
pub use decisions::{
    ContextRequest, DRY_RUNS_KEPT, DecisionContext, DecisionFilter, NewDecision, Reevaluation, StoredDecision,
};
pub use denials::{DENIALS_KEPT, DENIALS_KEPT_FOR, DenialOutcome, DeniedRequest};
pub use events::{EventFilter, EventPosition, PositionedEvent};
pub use memory::Memory;
pub use notifications::{NOTIFICATIONS_KEPT_FOR, NotificationChange, NotificationListing, Notifications};
pub use observations::{ActionsAdded, OBSERVED_ACTIONS_KEPT, ObservationListing, StoredObservation};
pub use origin::OriginFilter;
pub use postgres::Postgres;
pub use posture::{PostureListing, PostureStatement, StoredPosture};
pub use resource_lock::{AfterUpdate, LockPurpose, LockRequest, Ownership, Release, ResourceLock};
pub use sessions::{PendingSession, StoredSession};
pub use sqlite::{OpenError, Sqlite, SqlitePath};
pub use standing_approvals::StandingApprovals;

/// Why the store did not do what was requested. Nothing is half done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is full or is locked: a retry may work.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row is not in the form in which the broker writes it, or breaks a rule of the tables.
    #[error("the database has an unexpected value: {what}")]
    Corrupt { what: String },
}

/// A grant as it is stored.
#[derive(Debug, Clone)]
pub struct GrantRecord {
    pub grant: Grant,
    /// None if the client sends no heartbeats.
    pub lease: Option<Lease>,
    /// Raised by every transition and claim. A transition applies only to the version that its driver read.
    pub version: i64,
    /// Of a denied grant: how often the same request was denied.
    pub denials: Option<Denials>,
    /// Of a live grant: when it has to be decided again.
    pub reevaluation: Option<Reevaluation>,
    /// The last event of the timeline, if it was read with the grant: saves a read when the grant is saved.
    pub(crate) last_row: Option<chain::LastRow>,
}

/// What became of a request to create a grant.
#[derive(Debug)]
pub enum Created {
    New(GrantRecord),
    /// The key has a grant from the same request.
    Joined(GrantRecord),
    /// The key has a grant from another request.
    KeyConflict,
    AgentDisabled,
    /// The client revoked the key before the request arrived.
    KeyRevoked,
    /// The OIDC token was consumed by another request.
    Replayed,
    /// The run has as many grants as it may have at once.
    TooManyActive,
    /// What the decision was made from has changed: it has to be made again.
    ContextChanged,
}

/// What became of a transition, and of the lock that was to be released with it.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per request, and read at once: a box would be in every pattern"
)]
pub enum SaveOutcome {
    /// The transition is committed, and the lock is released.
    Done(GrantRecord),
    /// Another driver changed the grant first: read it again. The lock is released.
    Conflict,
    /// Another driver acquired the lock since: nothing is committed. Only a save that releases a lock ends so.
    LockLost,
}

/// Which state of a grant a transition applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// The version that was read.
    Version,
    /// The version that was read, and no heartbeat came since.
    VersionAndNoHeartbeat,
}

/// What became of a heartbeat.
#[derive(Debug)]
pub enum HeartbeatOutcome {
    /// The grant is active, and its lease is extended.
    Recorded(GrantRecord),
    /// The grant is not active, or not any more.
    Ended(GrantRecord),
    /// The agent has no such grant under this key.
    Unknown,
}

/// What became of the revocation of an idempotency key.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per request, and read at once: a box would be in every pattern"
)]
pub enum RevokeByKey {
    /// The key has a grant, which the caller revokes.
    Grant(GrantRecord),
    /// The key has no grant: a request that arrives later is refused.
    Tombstoned,
}

/// Which grants to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// `true`: only grants that are not final. `false`: only final ones.
    pub live: Option<bool>,
    /// Only these.
    pub only: Option<Only>,
    pub agent: Option<AgentId>,
    pub origin: OriginFilter,
    /// Start behind this grant, in the order of the listing (newest first).
    pub after: Option<GrantId>,
    pub limit: u32,
}

/// A part of all grants that is listed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Grants that wait for approval.
    Waiting,
    /// Grants that were taken in an emergency; not requests for one that were denied.
    BreakGlass,
    /// Grants whose revoke fails, and those for which a worker should have acted before this time.
    Stuck(Timestamp),
}

/// An auth token as it is stored: its hash, never the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// The public part.
    pub id: String,
    pub agent_id: AgentId,
    /// SHA-256 of the whole token, in hexadecimal.
    pub hash: String,
    pub created_at: Timestamp,
    /// Set when the token is rotated.
    pub expires_at: Option<Timestamp>,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Created, updated or unchanged. The token is stored only if the agent was created.
    Done(Outcome),
    /// The agent exists, and [`ApplyMode::CreateOnly`] was requested.
    Exists,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyMode {
    /// Creates an agent or replaces its registration.
    Replace,
    CreateOnly,
}

/// A registration to be stored.
#[derive(Debug)]
pub struct Registering<'a> {
    pub registration: &'a Registration,
    /// The TOML text of `registration`.
    pub source: &'a str,
    pub mode: ApplyMode,
    /// The first auth token, if the agent is new.
    pub token: &'a StoredToken,
    pub now: Timestamp,
}

/// A key that signs the credentials of `token` grants. The newest key signs.
#[derive(Debug, Clone)]
pub struct StoredKey {
    pub kid: String,
    /// PKCS#8 in PEM.
    pub private_pem: Secret,
    pub created_at: Timestamp,
}

/// A request for due work, and for the claim on it.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    pub now: Timestamp,
    /// Since when this broker has been able to receive heartbeats.
    pub ready_since: Timestamp,
    /// When the claim ends.
    pub claimed_until: Timestamp,
    pub limit: u32,
}

/// Everything that the broker reads and writes.
#[async_trait]
pub trait Store: Notifications + SealedCodes + StandingApprovals {
    /// Reads and writes one row, to find out whether the database works.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Stores a registration and, if the agent is new, its first token.
    async fn apply_agent(&self, registering: Registering<'_>) -> Result<Applied, StoreError>;
    async fn agent(&self, id: &AgentId) -> Result<Option<Arc<Agent>>, StoreError>;
    /// Lists agents by id, starting behind `after`.
    async fn agents(&self, after: Option<&AgentId>, limit: u32) -> Result<Vec<Arc<Agent>>, StoreError>;
    /// Enables or disables an agent. None if there is no such agent.
    async fn set_agent_status(
        &self,
        id: &AgentId,
        status: AgentStatus,
        now: Timestamp,
    ) -> Result<Option<Arc<Agent>>, StoreError>;
    /// The auth token with this public part, and its agent.
    async fn credential(&self, token_id: &str) -> Result<Option<(StoredToken, Arc<Agent>)>, StoreError>;
    /// An agent's tokens that are accepted at `now`, oldest first.
    async fn tokens(&self, id: &AgentId, now: Timestamp) -> Result<Vec<StoredToken>, StoreError>;
    /// Adds a token, and lets the agent's other tokens expire at `others_expire_at`, or earlier if they expire earlier.
    /// False if there is no such agent.
    async fn rotate_token(&self, new: &StoredToken, others_expire_at: Timestamp) -> Result<bool, StoreError>;
    /// Deletes a token. False if the agent has no such token.
    async fn revoke_token(&self, id: &AgentId, token_id: &str) -> Result<bool, StoreError>;

    /// Stores a new grant with its steps, events and references, and consumes its OIDC token.
    ///
    /// With `most_active`, a run that has so many live grants (waiting, applying or active) gets no other. A grant without a known run
    /// counts for every run, and a request without a known run counts every grant of the agent. Of two concurrent
    /// requests, the second sees the grant of the first.
    ///
    /// The decision is stored with the grant, if its context still holds. A request that joins a grant stores none.
    async fn create_grant(
        &self,
        transition: &Transition,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
        decision: Option<&NewDecision<'_>>,
    ) -> Result<Created, StoreError>;
    /// Stores a denied grant with its events, and consumes its OIDC token. Another denial of the same request (by its
    /// hash) of the same agent only raises a counter, and its decision is not stored.
    async fn record_denied(&self, denied: DeniedRequest<'_>) -> Result<DenialOutcome, StoreError>;
    async fn grant(&self, id: &GrantId) -> Result<Option<GrantRecord>, StoreError>;
    async fn grant_by_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Option<GrantRecord>, StoreError>;
    /// Commits a transition of the grant that was read as `before`, with its events, and ends the claim. With `release`,
    /// the lock on a shared object is released in the same transaction: a driver that lost the lock changes nothing, and
    /// a driver that finds the grant changed releases the lock all the same.
    async fn save(
        &self,
        before: &GrantRecord,
        transition: &Transition,
        precondition: Precondition,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError>;
    /// Appends events that belong to no transition.
    async fn add_events(&self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError>;
    /// Appends the event of a retry that joined the grant, up to [`RETRIES_RECORDED`] of them.
    async fn add_retry(&self, id: &GrantId, now: Timestamp) -> Result<(), StoreError>;
    /// Extends the lease. A heartbeat never goes back in time and never changes the version.
    async fn heartbeat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<HeartbeatOutcome, StoreError>;
    /// Finds the key's grant, or leaves a tombstone until `forget_after` so that the key gets none.
    async fn revoke_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<RevokeByKey, StoreError>;
    /// Acquires the lock on a shared object; None if it is taken. References are counted after the acquisition, so the
    /// count cannot be too low while the lock lasts.
    async fn lock_shared_object(&self, request: LockRequest<'_>) -> Result<Option<ResourceLock>, StoreError>;
    /// Records what the driver learned about the object. False, and nothing changes, if the lock was acquired by another
    /// driver since.
    async fn update_shared_object(
        &self,
        lock: &ResourceLock,
        ownership: Ownership,
        delete_may_land_until: Option<Timestamp>,
        after: AfterUpdate,
    ) -> Result<bool, StoreError>;
    /// How many other grants that are applying or active reference the object.
    async fn other_references(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError>;
    /// Newest first.
    async fn list(&self, listing: &Listing) -> Result<Vec<GrantRecord>, StoreError>;
    /// Claims grants that are due, or whose lease is lost ([`Lease::lost_at`]), and, where the limit leaves room, active
    /// grants that have to be decided again, oldest first. A claim raises the version.
    async fn claim_due(&self, due: Due) -> Result<Vec<GrantRecord>, StoreError>;
    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError>;
    /// A grant's timeline as it is stored, in order.
    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError>;

    /// The events of all grants behind a position, in their order. A reader that passes the position of the last event
    /// that it got misses no event, whatever is being written meanwhile, and gets the events of one grant in the order
    /// of its timeline.
    async fn events_after(
        &self,
        position: EventPosition,
        which: EventFilter,
        limit: u32,
    ) -> Result<Vec<PositionedEvent>, StoreError>;

    /// Every signing key, oldest first.
    async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError>;
    /// Adds a key if `newest` is still the newest, so that two brokers that rotate at once make one key. True if the key
    /// was added.
    async fn add_signing_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError>;
    /// Deletes keys that were made before `before`, but never the newest.
    async fn remove_signing_keys(&self, before: Timestamp) -> Result<(), StoreError>;

    /// The rules as they are.
    async fn rules(&self) -> Result<RulesState, StoreError>;
    async fn rule_set(&self, digest: &RuleSetDigest) -> Result<Option<RuleSetFiles>, StoreError>;
    /// The state after each change, newest first, starting below a version.
    async fn rules_history(&self, before: Option<i64>, limit: u32) -> Result<Vec<RulesState>, StoreError>;
    /// Stores `next` as the version behind `expected`, with the files of a new set, and marks every live grant to be
    /// decided again. None if another change came first. A grant that is being created is either marked or refused.
    async fn change_rules(
        &self,
        expected: i64,
        next: &RulesState,
        files: Option<&RuleSetFiles>,
    ) -> Result<Option<RulesState>, StoreError>;

    /// Reads what a decision needs.
    async fn decision_context(&self, request: ContextRequest<'_>) -> Result<DecisionContext, StoreError>;
    /// Stores a decision that comes with no new grant and no denial, and returns its number.
    async fn record_decision(&self, grant: Option<&GrantId>, decision: &Decision) -> Result<i64, StoreError>;
    /// Decisions in the order of their numbers, starting behind one. Decisions that are being stored may be missing.
    async fn decisions_after(
        &self,
        number: i64,
        filter: DecisionFilter<'_>,
        limit: u32,
    ) -> Result<Vec<StoredDecision>, StoreError>;
    /// The decisions about a grant, in order.
    async fn decisions_of(&self, grant: &GrantId) -> Result<Vec<StoredDecision>, StoreError>;
    /// Stores the decision about a grant that was claimed to be decided again, sets when the next is due, and releases
    /// the claim. False, with nothing stored, if the grant was marked again since (the claim is released, and the grant
    /// is due), or was changed or claimed by another driver.
    async fn reevaluated(
        &self,
        record: &GrantRecord,
        mark: i64,
        decision: Option<&Decision>,
        next: Option<Timestamp>,
    ) -> Result<bool, StoreError>;

    /// Stores a statement, unless a newer one is known. One that changes what is known marks the live grants of its
    /// subject to be decided again.
    async fn put_posture(
        &self,
        statement: &PostureStatement,
        now: Timestamp,
    ) -> Result<PostureOutcome, StoreError>;
    /// Statements by source and subject, with those that have expired and are not purged.
    async fn list_posture(&self, listing: PostureListing<'_>) -> Result<Vec<StoredPosture>, StoreError>;

    /// Stores a session whose client exchanges a code for its token.
    async fn add_session(&self, new: PendingSession<'_>) -> Result<(), StoreError>;
    /// Exchanges the code of a session, once: from now on the session is known by the hash of its token. None for another
    /// code or challenge, and for a code that is too old.
    async fn exchange_code(
        &self,
        code_hash: &str,
        challenge: &str,
        token_hash: &str,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError>;
    /// The session with this token, also when it has ended and is not purged.
    async fn session(&self, token_hash: &str) -> Result<Option<StoredSession>, StoreError>;
    /// Records a use of a session.
    async fn session_used(&self, token_hash: &str, now: Timestamp) -> Result<(), StoreError>;
    /// Deletes a session. False if there is none.
    async fn remove_session(&self, token_hash: &str) -> Result<bool, StoreError>;

    /// Sessions with a token that have not reached their end, the last used first.
    async fn sessions(&self, now: Timestamp, limit: u32) -> Result<Vec<StoredSession>, StoreError>;
    /// Deletes every session of a person, pending ones too. Returns how many there were.
    async fn remove_sessions_of(&self, issuer: &str, subject: &str) -> Result<u64, StoreError>;

    /// Stores the decision about a step that runs without a grant. The id is new.
    async fn record_observation(&self, id: &str, decision: &Decision) -> Result<(), StoreError>;
    /// Adds what the step of an observation called.
    async fn add_observed_actions(
        &self,
        id: &str,
        agent: &AgentId,
        actions: &[Action],
    ) -> Result<ActionsAdded, StoreError>;
    async fn observations(
        &self,
        listing: ObservationListing<'_>,
    ) -> Result<Vec<StoredObservation>, StoreError>;

    /// Deletes expired token uses, tombstones, auth tokens, sessions, standing approvals, break-glass codes, notifications and posture, decisions and observations older than
    /// `keep_decisions`, and requests that were not denied again for [`DENIALS_KEPT_FOR`]. The grant of the last event of
    /// all, and the last decision, may stay until another is written.
    async fn purge(&self, now: Timestamp, keep_decisions: Duration) -> Result<(), StoreError>;
}
