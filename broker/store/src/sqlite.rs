//! Stores everything in one SQLite file, in WAL mode with full synchronization.
//!
//! Changes go through the one [`writer`]. Reads go to a few read-only connections, and see every change that was
//! answered before.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::grant::Transition;
use domain::{Agent, AgentStatus, Decision, Lease, NewEvent, ReplayGuard, RuleSetDigest, Session};
use protocol::actions::Action;
use protocol::posture::PostureOutcome;
use protocol::rules::{RuleSetFiles, RulesState};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};
use sqlx::SqlitePool;

use crate::registrations::Registrations;
use crate::rows::Expected;
use crate::{
    ActionsAdded, AfterUpdate, Applied, ContextRequest, Created, DENIALS_KEPT_FOR, DecisionContext,
    DecisionFilter, DenialOutcome, DeniedRequest, Due, EventFilter, EventPosition, GrantRecord,
    HeartbeatOutcome, Listing, LockRequest, NewDecision, ObservationListing, Ownership, PendingSession,
    PositionedEvent, PostureListing, PostureStatement, Precondition, Registering, Release, ResourceLock,
    RevokeByKey, SaveOutcome, Store, StoreError, StoredDecision, StoredKey, StoredObservation, StoredPosture,
    StoredSession, StoredToken,
};

mod agents;
mod auth_tokens;
mod batch;
mod break_glass;
mod checkpoint;
mod context;
mod create;
mod credentials;
mod decisions;
mod deny;
mod due;
mod exec;
mod grants;
mod listing;
mod lock;
mod marks;
mod notifications;
mod observations;
mod open;
mod posture;
mod purge;
mod rules;
mod same_file;
mod save;
mod sessions;
mod shared_objects;
mod signing_keys;
mod standing_approvals;
mod timeline;
mod writer;

#[cfg(test)]
mod tests;

pub use open::{OpenError, SqlitePath};

use credentials::Credentials;
use decisions::About;
use same_file::SameFile;
use writer::Writer;

/// The store on SQLite.
#[derive(Debug)]
pub struct Sqlite {
    writer: Writer,
    readers: Option<SqlitePool>,
    registrations: Registrations,
    credentials: Credentials,
    file: Option<SameFile>,
}

impl Sqlite {
    /// Opens or creates the database, and migrates it.
    pub async fn open(place: SqlitePath) -> Result<Self, OpenError> {
        let opened = open::open(place).await?;
        Ok(Self {
            writer: Writer::start(opened.writer, opened.on_disk),
            readers: opened.readers,
            registrations: Registrations::default(),
            credentials: Credentials::default(),
            file: opened.file,
        })
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn ping(&self) -> Result<(), StoreError> {
        self.ensure_file_unchanged()?;
        self.write(|connection| {
            Box::pin(async move {
                sqlx::query("UPDATE meta SET write_probe = write_probe + 1").execute(connection).await?;
                Ok(())
            })
        })
        .await?;
        self.read(|connection| {
            Box::pin(async move {
                sqlx::query("SELECT write_probe FROM meta").fetch_one(connection).await?;
                Ok(())
            })
        })
        .await
    }

    async fn apply_agent(&self, registering: Registering<'_>) -> Result<Applied, StoreError> {
        self.ensure_file_unchanged()?;
        let Registering { registration, source, mode, token, now } = registering;
        let (id, source, token) = (registration.id.clone(), source.to_owned(), token.clone());
        self.write_credentials(move |connection| {
            Box::pin(agents::apply(connection, id, source, mode, token, now))
        })
        .await
    }

    async fn agent(&self, id: &AgentId) -> Result<Option<Arc<Agent>>, StoreError> {
        let id = id.clone();
        let row = self.read(move |connection| Box::pin(agents::find(connection, id))).await?;
        row.map(|row| self.registrations.parsed(row)).transpose()
    }

    async fn agents(&self, after: Option<&AgentId>, limit: u32) -> Result<Vec<Arc<Agent>>, StoreError> {
        let after = after.cloned();
        let rows = self.read(move |connection| Box::pin(agents::page(connection, after, limit))).await?;
        rows.into_iter().map(|row| self.registrations.parsed(row)).collect()
    }

    async fn set_agent_status(
        &self,
        id: &AgentId,
        status: AgentStatus,
        now: Timestamp,
    ) -> Result<Option<Arc<Agent>>, StoreError> {
        let id = id.clone();
        let row = self
            .write_credentials(move |connection| Box::pin(agents::set_status(connection, id, status, now)))
            .await?;
        row.map(|row| self.registrations.parsed(row)).transpose()
    }

    async fn credential(&self, token_id: &str) -> Result<Option<(StoredToken, Arc<Agent>)>, StoreError> {
        let read_token = match self.credentials.known(token_id) {
            Ok(known) => return Ok(Some(known)),
            Err(read_token) => read_token,
        };
        let token_id = token_id.to_owned();
        let found =
            self.read(move |connection| Box::pin(auth_tokens::with_agent(connection, token_id))).await?;
        let Some((token, row)) = found else { return Ok(None) };
        let agent = self.registrations.parsed(row)?;
        self.credentials.remember(read_token, &token, &agent);
        Ok(Some((token, agent)))
    }

    async fn tokens(&self, id: &AgentId, now: Timestamp) -> Result<Vec<StoredToken>, StoreError> {
        let id = id.clone();
        self.read(move |connection| Box::pin(auth_tokens::accepted(connection, id, now))).await
    }

    async fn rotate_token(&self, new: &StoredToken, others_expire_at: Timestamp) -> Result<bool, StoreError> {
        self.ensure_file_unchanged()?;
        let new = new.clone();
        self.write_credentials(move |connection| {
            Box::pin(auth_tokens::rotate(connection, new, others_expire_at))
        })
        .await
    }

    async fn revoke_token(&self, id: &AgentId, token_id: &str) -> Result<bool, StoreError> {
        let (id, token_id) = (id.clone(), token_id.to_owned());
        self.write_credentials(move |connection| Box::pin(auth_tokens::remove(connection, id, token_id)))
            .await
    }

    async fn create_grant(
        &self,
        transition: &Transition,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
        decision: Option<&NewDecision<'_>>,
    ) -> Result<Created, StoreError> {
        self.ensure_file_unchanged()?;
        let (transition, replay) = (transition.clone(), replay.cloned());
        let decided = decision.map(create::Decided::of).transpose()?;
        self.change(move |change| {
            Box::pin(create::create(change, transition, lease, replay, most_active, decided))
        })
        .await
    }

    async fn record_denied(&self, denying: DeniedRequest<'_>) -> Result<DenialOutcome, StoreError> {
        let wanted = deny::Wanted::from(denying);
        self.change(move |change| Box::pin(deny::record(change, wanted))).await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<GrantRecord>, StoreError> {
        let id = id.clone();
        self.read(move |connection| Box::pin(grants::find(connection, id))).await
    }

    async fn grant_by_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Option<GrantRecord>, StoreError> {
        let (agent, key) = (agent.clone(), key.clone());
        self.read(move |connection| Box::pin(grants::find_by_key(connection, agent, key))).await
    }

    async fn save(
        &self,
        before: &GrantRecord,
        transition: &Transition,
        guard: Precondition,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError> {
        let (expected, transition, release) =
            (Expected::of(before, guard), transition.clone(), release.cloned());
        self.change(move |change| Box::pin(save::save(change, expected, transition, release))).await
    }

    async fn add_events(&self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError> {
        let (id, events) = (id.clone(), events.to_vec());
        self.change(move |change| Box::pin(timeline::add(change, id, events))).await
    }

    async fn add_retry(&self, id: &GrantId, now: Timestamp) -> Result<(), StoreError> {
        let id = id.clone();
        self.change(move |change| Box::pin(timeline::add_retry(change, id, now))).await
    }

    async fn heartbeat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<HeartbeatOutcome, StoreError> {
        let (id, agent, key) = (id.clone(), agent.clone(), key.clone());
        self.write(move |connection| Box::pin(save::heartbeat(connection, id, agent, key, now))).await
    }

    async fn revoke_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<RevokeByKey, StoreError> {
        // A key's grant is never deleted: a key that has one needs no place in the writer's queue.
        if let Some(stored) = self.grant_by_key(agent, key).await? {
            return Ok(RevokeByKey::Grant(stored));
        }
        let (agent, key) = (agent.clone(), key.clone());
        self.write(move |connection| Box::pin(create::revoke_key(connection, agent, key, forget_after))).await
    }

    async fn lock_shared_object(&self, request: LockRequest<'_>) -> Result<Option<ResourceLock>, StoreError> {
        let wanted = shared_objects::Wanted::from(request);
        self.change(move |change| Box::pin(shared_objects::lock(change, wanted))).await
    }

    async fn update_shared_object(
        &self,
        lock: &ResourceLock,
        ownership: Ownership,
        delete_may_land_until: Option<Timestamp>,
        after: AfterUpdate,
    ) -> Result<bool, StoreError> {
        let lock = lock.clone();
        self.change(move |change| {
            Box::pin(shared_objects::update(change, lock, ownership, delete_may_land_until, after))
        })
        .await
    }

    async fn other_references(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError> {
        let (object, grant) = (object.to_owned(), grant.clone());
        self.read(move |connection| Box::pin(shared_objects::other_references(connection, object, grant)))
            .await
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<GrantRecord>, StoreError> {
        let listing = listing.clone();
        self.read(move |connection| Box::pin(listing::page(connection, listing))).await
    }

    async fn claim_due(&self, due: Due) -> Result<Vec<GrantRecord>, StoreError> {
        self.write(move |connection| Box::pin(due::claim(connection, due))).await
    }

    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
        self.read(|connection| Box::pin(listing::count(connection))).await
    }

    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError> {
        let id = id.clone();
        self.read(move |connection| Box::pin(timeline::read(connection, id))).await
    }

    async fn events_after(
        &self,
        position: EventPosition,
        which: EventFilter,
        limit: u32,
    ) -> Result<Vec<PositionedEvent>, StoreError> {
        self.read(move |connection| Box::pin(timeline::after(connection, position, which, limit))).await
    }

    async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.read(|connection| Box::pin(signing_keys::all(connection))).await
    }

    async fn add_signing_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError> {
        let (key, newest) = (key.clone(), newest.map(str::to_owned));
        self.write(move |connection| Box::pin(signing_keys::add(connection, key, newest))).await
    }

    async fn remove_signing_keys(&self, before: Timestamp) -> Result<(), StoreError> {
        self.write(move |connection| Box::pin(signing_keys::remove(connection, before))).await
    }

    async fn rules(&self) -> Result<RulesState, StoreError> {
        self.read(|connection| Box::pin(rules::current(connection))).await
    }

    async fn rule_set(&self, digest: &RuleSetDigest) -> Result<Option<RuleSetFiles>, StoreError> {
        let digest = digest.clone();
        self.read(move |connection| Box::pin(rules::set(connection, digest))).await
    }

    async fn rules_history(&self, before: Option<i64>, limit: u32) -> Result<Vec<RulesState>, StoreError> {
        self.read(move |connection| Box::pin(rules::history(connection, before, limit))).await
    }

    async fn change_rules(
        &self,
        expected: i64,
        next: &RulesState,
        files: Option<&RuleSetFiles>,
    ) -> Result<Option<RulesState>, StoreError> {
        self.ensure_file_unchanged()?;
        let (next, files) = (next.clone(), files.cloned());
        self.write(move |connection| Box::pin(rules::change(connection, expected, next, files))).await
    }

    async fn decision_context(&self, request: ContextRequest<'_>) -> Result<DecisionContext, StoreError> {
        let wanted = context::Wanted::from(request);
        self.read(move |connection| Box::pin(context::read(connection, wanted))).await
    }

    async fn record_decision(&self, grant: Option<&GrantId>, decision: &Decision) -> Result<i64, StoreError> {
        let about = grant.map_or(About::Nothing, |grant| About::Grant(grant.clone()));
        let decision = decision.clone();
        self.write(move |connection| Box::pin(decisions::record(connection, about, decision))).await
    }

    async fn decisions_after(
        &self,
        number: i64,
        filter: DecisionFilter<'_>,
        limit: u32,
    ) -> Result<Vec<StoredDecision>, StoreError> {
        let filter = decisions::Filter::of(number, filter, limit);
        self.read(move |connection| Box::pin(decisions::after(connection, filter))).await
    }

    async fn decisions_of(&self, grant: &GrantId) -> Result<Vec<StoredDecision>, StoreError> {
        let grant = grant.clone();
        self.read(move |connection| Box::pin(decisions::of_grant(connection, grant))).await
    }

    async fn reevaluated(
        &self,
        record: &GrantRecord,
        mark: i64,
        decision: Option<&Decision>,
        next: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let (expected, decision) = (Expected::of(record, Precondition::Version), decision.cloned());
        self.change(move |change| Box::pin(decisions::reevaluated(change, expected, mark, decision, next)))
            .await
    }

    async fn put_posture(
        &self,
        statement: &PostureStatement,
        now: Timestamp,
    ) -> Result<PostureOutcome, StoreError> {
        let statement = statement.clone();
        self.write(move |connection| Box::pin(posture::put(connection, statement, now))).await
    }

    async fn list_posture(&self, listing: PostureListing<'_>) -> Result<Vec<StoredPosture>, StoreError> {
        let wanted = posture::Wanted::from(listing);
        self.read(move |connection| Box::pin(posture::list(connection, wanted))).await
    }

    async fn add_session(&self, new: PendingSession<'_>) -> Result<(), StoreError> {
        let new = sessions::New::from(new);
        self.write(move |connection| Box::pin(sessions::add(connection, new))).await
    }

    async fn exchange_code(
        &self,
        code_hash: &str,
        challenge: &str,
        token_hash: &str,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        let [code, challenge, token] = [code_hash, challenge, token_hash].map(str::to_owned);
        self.write(move |connection| Box::pin(sessions::exchange(connection, code, challenge, token, now)))
            .await
    }

    async fn session(&self, token_hash: &str) -> Result<Option<StoredSession>, StoreError> {
        let token_hash = token_hash.to_owned();
        self.read(move |connection| Box::pin(sessions::get(connection, token_hash))).await
    }

    async fn session_used(&self, token_hash: &str, now: Timestamp) -> Result<(), StoreError> {
        let token_hash = token_hash.to_owned();
        self.write(move |connection| Box::pin(sessions::used(connection, token_hash, now))).await
    }

    async fn remove_session(&self, token_hash: &str) -> Result<bool, StoreError> {
        let token_hash = token_hash.to_owned();
        self.write(move |connection| Box::pin(sessions::remove(connection, token_hash))).await
    }

    async fn sessions(&self, now: Timestamp, limit: u32) -> Result<Vec<StoredSession>, StoreError> {
        self.read(move |connection| Box::pin(sessions::list(connection, now, limit))).await
    }

    async fn remove_sessions_of(&self, issuer: &str, subject: &str) -> Result<u64, StoreError> {
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        self.write(move |connection| Box::pin(sessions::remove_of(connection, issuer, subject))).await
    }

    async fn record_observation(&self, id: &str, decision: &Decision) -> Result<(), StoreError> {
        let (about, decision) = (About::Observation(id.to_owned()), decision.clone());
        self.write(move |connection| Box::pin(decisions::record(connection, about, decision))).await?;
        Ok(())
    }

    async fn add_observed_actions(
        &self,
        id: &str,
        agent: &AgentId,
        actions: &[Action],
    ) -> Result<ActionsAdded, StoreError> {
        let (id, agent, actions) = (id.to_owned(), agent.clone(), actions.to_vec());
        self.write(move |connection| Box::pin(observations::add_actions(connection, id, agent, actions)))
            .await
    }

    async fn observations(
        &self,
        listing: ObservationListing<'_>,
    ) -> Result<Vec<StoredObservation>, StoreError> {
        let wanted = observations::Wanted::from(listing);
        self.read(move |connection| Box::pin(observations::list(connection, wanted))).await
    }

    async fn purge(&self, now: Timestamp, keep_decisions: Duration) -> Result<(), StoreError> {
        // In small batches, so that urgent changes get in between.
        for what in purge::ALL {
            while self
                .write_credentials(move |connection| Box::pin(purge::purge_batch(connection, what, now)))
                .await?
                == purge::More::Maybe
            {}
        }
        let not_since = now.minus(DENIALS_KEPT_FOR);
        while self.write(move |connection| Box::pin(deny::purge(connection, not_since))).await?
            == purge::More::Maybe
        {}
        let not_since = now.minus(keep_decisions);
        while self.write(move |connection| Box::pin(decisions::purge(connection, not_since))).await?
            == purge::More::Maybe
        {}
        Ok(())
    }
}
