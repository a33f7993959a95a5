//! Stores everything in a PostgreSQL database (14 or newer) that several brokers share.
//!
//! Only connections and parsed registrations are cached, so every broker sees the changes of the others with its next
//! statement. A change is one statement where it can be: a broker that stops in the middle of it holds no lock. Row
//! locks isolate changes.

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
mod bind;
mod break_glass;
mod context;
mod create;
mod database_url;
mod decisions;
mod deny;
mod due;
mod exec;
mod grants;
mod listing;
mod marks;
mod migrate;
mod notifications;
mod nul_escaping;
mod observations;
mod open;
mod pool;
mod posture;
mod purge;
mod rules;
mod save;
mod sessions;
mod shared_objects;
mod signing_keys;
mod standing_approvals;
mod tail;
mod timeline;

#[cfg(test)]
mod tests;

pub use database_url::{InvalidPostgresUrl, PostgresUrl};
pub use migrate::{Migrated, migrate};
pub use open::{IfPending, OpenError, Opening, Pending};
pub use pool::WAIT;

use pool::Pool;

/// The store on PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    pool: Pool,
    registrations: Registrations,
}

impl Postgres {
    /// Connects, and checks the schema.
    pub async fn open(opening: Opening<'_>) -> Result<Self, OpenError> {
        Ok(Self { pool: open::open(opening).await?, registrations: Registrations::default() })
    }
}

#[async_trait]
impl Store for Postgres {
    async fn ping(&self) -> Result<(), StoreError> {
        self.run((), |connection, ()| Box::pin(migrate::ping(connection))).await
    }

    async fn apply_agent(&self, registering: Registering<'_>) -> Result<Applied, StoreError> {
        self.run(registering, |connection, it| Box::pin(agents::apply(connection, it))).await
    }

    async fn agent(&self, id: &AgentId) -> Result<Option<Arc<Agent>>, StoreError> {
        let row = self.run(id, |connection, id| Box::pin(agents::find(connection, id))).await?;
        row.map(|row| self.registrations.parsed(row)).transpose()
    }

    async fn agents(&self, after: Option<&AgentId>, limit: u32) -> Result<Vec<Arc<Agent>>, StoreError> {
        let page = (after, limit);
        let rows = self
            .run(page, |connection, (after, limit)| Box::pin(agents::page(connection, *after, *limit)))
            .await?;
        rows.into_iter().map(|row| self.registrations.parsed(row)).collect()
    }

    async fn set_agent_status(
        &self,
        id: &AgentId,
        status: AgentStatus,
        now: Timestamp,
    ) -> Result<Option<Arc<Agent>>, StoreError> {
        let row = self
            .run((id, status, now), |connection, (id, status, now)| {
                Box::pin(agents::set_status(connection, id, *status, *now))
            })
            .await?;
        row.map(|row| self.registrations.parsed(row)).transpose()
    }

    async fn credential(&self, token_id: &str) -> Result<Option<(StoredToken, Arc<Agent>)>, StoreError> {
        let found =
            self.run(token_id, |connection, id| Box::pin(auth_tokens::with_agent(connection, id))).await?;
        found.map(|(token, row)| Ok((token, self.registrations.parsed(row)?))).transpose()
    }

    async fn tokens(&self, id: &AgentId, now: Timestamp) -> Result<Vec<StoredToken>, StoreError> {
        self.run((id, now), |connection, (id, now)| Box::pin(auth_tokens::accepted(connection, id, *now)))
            .await
    }

    async fn rotate_token(&self, new: &StoredToken, others_expire_at: Timestamp) -> Result<bool, StoreError> {
        self.run((new, others_expire_at), |connection, (new, at)| {
            Box::pin(auth_tokens::rotate(connection, new, *at))
        })
        .await
    }

    async fn revoke_token(&self, id: &AgentId, token_id: &str) -> Result<bool, StoreError> {
        self.run((id, token_id), |connection, (id, token)| {
            Box::pin(auth_tokens::remove(connection, id, token))
        })
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
        let wanted = create::Wanted::of(transition, lease, replay, most_active, decision)?;
        Box::pin(self.run(wanted, |connection, wanted| Box::pin(create::create(connection, wanted)))).await
    }

    async fn record_denied(&self, denying: DeniedRequest<'_>) -> Result<DenialOutcome, StoreError> {
        let wanted = deny::Wanted::of(denying)?;
        self.run(wanted, |connection, wanted| Box::pin(deny::record(connection, wanted))).await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<GrantRecord>, StoreError> {
        self.run(id, |connection, id| Box::pin(grants::find(connection, id))).await
    }

    async fn grant_by_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Option<GrantRecord>, StoreError> {
        self.run((agent, key), |connection, (agent, key)| {
            Box::pin(grants::find_by_key(connection, agent, key))
        })
        .await
    }

    async fn save(
        &self,
        before: &GrantRecord,
        transition: &Transition,
        guard: Precondition,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError> {
        let expected = Expected::of(before, guard);
        self.run((expected, transition, release), |connection, (expected, transition, release)| {
            Box::pin(save::save(connection, expected, transition, *release))
        })
        .await
    }

    async fn add_events(&self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError> {
        self.run((id, events), |connection, (id, events)| Box::pin(timeline::add(connection, id, events)))
            .await
    }

    async fn add_retry(&self, id: &GrantId, now: Timestamp) -> Result<(), StoreError> {
        self.run((id, now), |connection, (id, now)| Box::pin(timeline::add_retry(connection, id, *now))).await
    }

    async fn heartbeat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<HeartbeatOutcome, StoreError> {
        self.run((id, agent, key, now), |connection, (id, agent, key, now)| {
            Box::pin(save::heartbeat(connection, id, agent, key, *now))
        })
        .await
    }

    async fn revoke_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<RevokeByKey, StoreError> {
        self.run((agent, key, forget_after), |connection, (agent, key, at)| {
            Box::pin(create::revoke_key(connection, agent, key, *at))
        })
        .await
    }

    async fn lock_shared_object(&self, request: LockRequest<'_>) -> Result<Option<ResourceLock>, StoreError> {
        self.run(request, |connection, request| Box::pin(shared_objects::lock(connection, request))).await
    }

    async fn update_shared_object(
        &self,
        lock: &ResourceLock,
        ownership: Ownership,
        delete_may_land_until: Option<Timestamp>,
        after: AfterUpdate,
    ) -> Result<bool, StoreError> {
        self.run(
            (lock, ownership, delete_may_land_until, after),
            |connection, (lock, ownership, delete_may_land_until, after)| {
                Box::pin(shared_objects::update(connection, lock, *ownership, *delete_may_land_until, *after))
            },
        )
        .await
    }

    async fn other_references(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError> {
        self.run((object, grant), |connection, (object, grant)| {
            Box::pin(shared_objects::other_references(connection, object, grant))
        })
        .await
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<GrantRecord>, StoreError> {
        self.run(listing, |connection, listing| Box::pin(listing::page(connection, listing))).await
    }

    async fn claim_due(&self, due: Due) -> Result<Vec<GrantRecord>, StoreError> {
        self.run(due, |connection, due| Box::pin(due::claim(connection, *due))).await
    }

    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
        self.run((), |connection, ()| Box::pin(listing::count(connection))).await
    }

    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError> {
        self.run(id, |connection, id| Box::pin(timeline::read(connection, id))).await
    }

    async fn events_after(
        &self,
        position: EventPosition,
        which: EventFilter,
        limit: u32,
    ) -> Result<Vec<PositionedEvent>, StoreError> {
        self.run((position, which, limit), |connection, (position, which, limit)| {
            Box::pin(tail::after(connection, *position, *which, *limit))
        })
        .await
    }

    async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.run((), |connection, ()| Box::pin(signing_keys::all(connection))).await
    }

    async fn add_signing_key(&self, key: &StoredKey, newest: Option<&str>) -> Result<bool, StoreError> {
        self.run((key, newest), |connection, (key, newest)| {
            Box::pin(signing_keys::add(connection, key, *newest))
        })
        .await
    }

    async fn remove_signing_keys(&self, before: Timestamp) -> Result<(), StoreError> {
        self.run(before, |connection, before| Box::pin(signing_keys::remove(connection, *before))).await
    }

    async fn rules(&self) -> Result<RulesState, StoreError> {
        self.run((), |connection, ()| Box::pin(rules::current(connection))).await
    }

    async fn rule_set(&self, digest: &RuleSetDigest) -> Result<Option<RuleSetFiles>, StoreError> {
        self.run(digest, |connection, digest| Box::pin(rules::set(connection, digest))).await
    }

    async fn rules_history(&self, before: Option<i64>, limit: u32) -> Result<Vec<RulesState>, StoreError> {
        self.run((before, limit), |connection, (before, limit)| {
            Box::pin(rules::history(connection, *before, *limit))
        })
        .await
    }

    async fn change_rules(
        &self,
        expected: i64,
        next: &RulesState,
        files: Option<&RuleSetFiles>,
    ) -> Result<Option<RulesState>, StoreError> {
        let change = rules::Change { expected, next, files };
        self.run(change, |connection, change| Box::pin(rules::change(connection, change))).await
    }

    async fn decision_context(&self, request: ContextRequest<'_>) -> Result<DecisionContext, StoreError> {
        self.run(request, |connection, request| Box::pin(context::read(connection, request))).await
    }

    async fn record_decision(&self, grant: Option<&GrantId>, decision: &Decision) -> Result<i64, StoreError> {
        let record = decisions::Record { grant, observation: None, decision };
        self.run(record, |connection, record| Box::pin(decisions::record(connection, record))).await
    }

    async fn decisions_after(
        &self,
        number: i64,
        filter: DecisionFilter<'_>,
        limit: u32,
    ) -> Result<Vec<StoredDecision>, StoreError> {
        let page = decisions::Page { after: number, filter, limit };
        self.run(page, |connection, page| Box::pin(decisions::after(connection, page))).await
    }

    async fn decisions_of(&self, grant: &GrantId) -> Result<Vec<StoredDecision>, StoreError> {
        self.run(grant, |connection, grant| Box::pin(decisions::of_grant(connection, grant))).await
    }

    async fn reevaluated(
        &self,
        record: &GrantRecord,
        mark: i64,
        decision: Option<&Decision>,
        next: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let expected = Expected::of(record, Precondition::Version);
        let change = decisions::Reevaluated { expected, mark, decision, next };
        self.run(change, |connection, change| Box::pin(decisions::reevaluated(connection, change))).await
    }

    async fn put_posture(
        &self,
        statement: &PostureStatement,
        now: Timestamp,
    ) -> Result<PostureOutcome, StoreError> {
        self.run((statement, now), |connection, (statement, now)| {
            Box::pin(posture::put(connection, statement, *now))
        })
        .await
    }

    async fn list_posture(&self, listing: PostureListing<'_>) -> Result<Vec<StoredPosture>, StoreError> {
        self.run(listing, |connection, listing| Box::pin(posture::list(connection, listing))).await
    }

    async fn add_session(&self, new: PendingSession<'_>) -> Result<(), StoreError> {
        self.run(new, |connection, new| Box::pin(sessions::add(connection, new))).await
    }

    async fn exchange_code(
        &self,
        code_hash: &str,
        challenge: &str,
        token_hash: &str,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        let exchange = sessions::Exchange { code_hash, challenge, token_hash, now };
        self.run(exchange, |connection, exchange| Box::pin(sessions::exchange(connection, exchange))).await
    }

    async fn session(&self, token_hash: &str) -> Result<Option<StoredSession>, StoreError> {
        self.run(token_hash, |connection, token_hash| Box::pin(sessions::get(connection, token_hash))).await
    }

    async fn session_used(&self, token_hash: &str, now: Timestamp) -> Result<(), StoreError> {
        self.run((token_hash, now), |connection, (token_hash, now)| {
            Box::pin(sessions::used(connection, token_hash, *now))
        })
        .await
    }

    async fn remove_session(&self, token_hash: &str) -> Result<bool, StoreError> {
        self.run(token_hash, |connection, token_hash| Box::pin(sessions::remove(connection, token_hash)))
            .await
    }

    async fn sessions(&self, now: Timestamp, limit: u32) -> Result<Vec<StoredSession>, StoreError> {
        self.run((now, limit), |connection, (now, limit)| Box::pin(sessions::list(connection, *now, *limit)))
            .await
    }

    async fn remove_sessions_of(&self, issuer: &str, subject: &str) -> Result<u64, StoreError> {
        self.run((issuer, subject), |connection, (issuer, subject)| {
            Box::pin(sessions::remove_of(connection, issuer, subject))
        })
        .await
    }

    async fn record_observation(&self, id: &str, decision: &Decision) -> Result<(), StoreError> {
        let record = decisions::Record { grant: None, observation: Some(id), decision };
        self.run(record, |connection, record| Box::pin(decisions::record(connection, record))).await?;
        Ok(())
    }

    async fn add_observed_actions(
        &self,
        id: &str,
        agent: &AgentId,
        actions: &[Action],
    ) -> Result<ActionsAdded, StoreError> {
        self.run((id, agent, actions), |connection, (id, agent, actions)| {
            Box::pin(observations::add_actions(connection, id, agent, actions))
        })
        .await
    }

    async fn observations(
        &self,
        listing: ObservationListing<'_>,
    ) -> Result<Vec<StoredObservation>, StoreError> {
        self.run(listing, |connection, listing| Box::pin(observations::list(connection, listing))).await
    }

    async fn purge(&self, now: Timestamp, keep_decisions: Duration) -> Result<(), StoreError> {
        // In small batches, so that no other change waits long for a row.
        for what in purge::ALL {
            while self
                .run((what, now), |connection, (what, now)| {
                    Box::pin(purge::purge_batch(connection, what, *now))
                })
                .await?
                == purge::More::Maybe
            {}
        }
        let not_since = now.minus(DENIALS_KEPT_FOR);
        while self
            .run(not_since, |connection, not_since| Box::pin(deny::purge(connection, *not_since)))
            .await?
            == purge::More::Maybe
        {}
        let not_since = now.minus(keep_decisions);
        while self
            .run(not_since, |connection, not_since| Box::pin(decisions::purge(connection, *not_since)))
            .await?
            == purge::More::Maybe
        {}
        self.run((), |connection, ()| Box::pin(purge::compact_counts(connection))).await
    }
}
