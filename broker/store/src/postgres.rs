//! How does it all survive where several brokers share it? In one PostgreSQL database, 14 or newer.
//!
//! Nothing is remembered here but connections and parsed registrations: what one broker changes, every other sees with
//! its next question. A change is one statement wherever it can be, so that whoever is stopped in the middle of it
//! holds nothing; the rows' own locks keep changes apart.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use domain::grant::Moved;
use domain::{Agent, AgentStatus, Lease, NewEvent, ReplayGuard};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};

use crate::registrations::Registrations;
use crate::rows::Seen;
use crate::{
    Applied, Beat, Created, DENIALS_KEPT_FOR, Denying, Due, Guard, Hold, Holding, KeyGivenBack, Listing,
    Recorded, Registering, Release, SaveOutcome, Store, StoreError, Stored, StoredKey,
    StoredToken, Then, Whose,
};

mod access;
mod agents;
mod auth_tokens;
mod characters;
mod creating;
mod denying;
mod due;
mod forgetting;
mod grants;
mod listing;
mod migrating;
mod open;
mod place;
mod pool;
mod saving;
mod shared;
mod signing_keys;
mod timeline;
mod written;

#[cfg(test)]
mod tests;

pub use migrating::{Migrated, migrate};
pub use open::{IfPending, OpenError, Opening, Pending};
pub use place::{InvalidPlace, Place};

use pool::Pool;

/// The store on PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    pool: Pool,
    registrations: Registrations,
}

impl Postgres {
    /// Connects, and looks whether the tables are those that this program knows.
    pub async fn open(opening: Opening<'_>) -> Result<Self, OpenError> {
        Ok(Self { pool: open::open(opening).await?, registrations: Registrations::default() })
    }
}

#[async_trait]
impl Store for Postgres {
    async fn ping(&self) -> Result<(), StoreError> {
        self.run((), |connection, ()| Box::pin(migrating::ping(connection))).await
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
        moved: &Moved,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
    ) -> Result<Created, StoreError> {
        let wanted = creating::Wanted::of(moved, lease, replay, most_active)?;
        self.run(wanted, |connection, wanted| Box::pin(creating::create(connection, wanted))).await
    }

    async fn record_denied(&self, denying: Denying<'_>) -> Result<Recorded, StoreError> {
        let wanted = denying::Wanted::of(denying)?;
        self.run(wanted, |connection, wanted| Box::pin(denying::record(connection, wanted))).await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Stored>, StoreError> {
        self.run(id, |connection, id| Box::pin(grants::find(connection, id))).await
    }

    async fn grant_by_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Option<Stored>, StoreError> {
        self.run((agent, key), |connection, (agent, key)| {
            Box::pin(grants::find_by_key(connection, agent, key))
        })
        .await
    }

    async fn save(
        &self,
        before: &Stored,
        moved: &Moved,
        guard: Guard,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError> {
        let seen = Seen::of(before, guard);
        self.run((seen, moved, release), |connection, (seen, moved, release)| {
            Box::pin(saving::save(connection, seen, moved, *release))
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

    async fn beat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Beat, StoreError> {
        self.run((id, agent, key, now), |connection, (id, agent, key, now)| {
            Box::pin(saving::beat(connection, id, agent, key, *now))
        })
        .await
    }

    async fn give_key_back(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<KeyGivenBack, StoreError> {
        self.run((agent, key, forget_after), |connection, (agent, key, at)| {
            Box::pin(creating::give_key_back(connection, agent, key, *at))
        })
        .await
    }

    async fn hold_shared(&self, holding: Holding<'_>) -> Result<Option<Hold>, StoreError> {
        self.run(holding, |connection, holding| Box::pin(shared::hold(connection, holding))).await
    }

    async fn note_shared(
        &self,
        hold: &Hold,
        whose: Whose,
        may_go_until: Option<Timestamp>,
        then: Then,
    ) -> Result<bool, StoreError> {
        self.run((hold, whose, may_go_until, then), |connection, (hold, whose, may_go_until, then)| {
            Box::pin(shared::note(connection, hold, *whose, *may_go_until, *then))
        })
        .await
    }

    async fn shared_with(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError> {
        self.run((object, grant), |connection, (object, grant)| {
            Box::pin(shared::needed_by_others(connection, object, grant))
        })
        .await
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<Stored>, StoreError> {
        self.run(listing, |connection, listing| Box::pin(listing::page(connection, listing))).await
    }

    async fn claim_due(&self, due: Due) -> Result<Vec<Stored>, StoreError> {
        self.run(due, |connection, due| Box::pin(due::claim(connection, *due))).await
    }

    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
        self.run((), |connection, ()| Box::pin(listing::count(connection))).await
    }

    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError> {
        self.run(id, |connection, id| Box::pin(timeline::read(connection, id))).await
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

    async fn forget(&self, now: Timestamp) -> Result<(), StoreError> {
        // In small pieces, so that nobody waits long for a row.
        for what in forgetting::ALL {
            while self
                .run((what, now), |connection, (what, now)| {
                    Box::pin(forgetting::some(connection, what, *now))
                })
                .await?
                == forgetting::Left::Perhaps
            {}
        }
        let not_since = now.minus(DENIALS_KEPT_FOR);
        while self
            .run(not_since, |connection, not_since| Box::pin(denying::forget(connection, *not_since)))
            .await?
            == forgetting::Left::Perhaps
        {}
        self.run((), |connection, ()| Box::pin(forgetting::add_up_counts(connection))).await
    }
}
