//! How does it all survive on one machine? In one SQLite file, in WAL mode, synchronous to the disk.
//!
//! Changes go through the one [`writer`]; reads go to a few connections that cannot write, and see
//! everything that was answered before.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use domain::grant::Moved;
use domain::{Agent, AgentStatus, Lease, NewEvent, ReplayGuard};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};
use sqlx::SqlitePool;

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
mod change;
mod checkpoint;
mod creating;
mod credentials;
mod denying;
mod due;
mod forgetting;
mod grants;
mod listing;
mod lock;
mod open;
mod same_file;
mod saving;
mod shared;
mod signing_keys;
mod timeline;
mod writer;

#[cfg(test)]
mod tests;

pub use open::{OpenError, Place};

use credentials::Credentials;
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
    /// Opens the database, makes it if it is not there, and brings its tables up to date.
    pub async fn open(place: Place) -> Result<Self, OpenError> {
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
        self.still_there()?;
        self.write(|connection| {
            Box::pin(async move {
                sqlx::query("UPDATE pulse SET beats = beats + 1").execute(connection).await?;
                Ok(())
            })
        })
        .await?;
        self.read(|connection| {
            Box::pin(async move {
                sqlx::query("SELECT beats FROM pulse").fetch_one(connection).await?;
                Ok(())
            })
        })
        .await
    }

    async fn apply_agent(&self, registering: Registering<'_>) -> Result<Applied, StoreError> {
        self.still_there()?;
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
        let began = match self.credentials.known(token_id) {
            Ok(known) => return Ok(Some(known)),
            Err(began) => began,
        };
        let token_id = token_id.to_owned();
        let found =
            self.read(move |connection| Box::pin(auth_tokens::with_agent(connection, token_id))).await?;
        let Some((token, row)) = found else { return Ok(None) };
        let agent = self.registrations.parsed(row)?;
        self.credentials.remember(began, &token, &agent);
        Ok(Some((token, agent)))
    }

    async fn tokens(&self, id: &AgentId, now: Timestamp) -> Result<Vec<StoredToken>, StoreError> {
        let id = id.clone();
        self.read(move |connection| Box::pin(auth_tokens::accepted(connection, id, now))).await
    }

    async fn rotate_token(&self, new: &StoredToken, others_expire_at: Timestamp) -> Result<bool, StoreError> {
        self.still_there()?;
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
        moved: &Moved,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
    ) -> Result<Created, StoreError> {
        self.still_there()?;
        let (moved, replay) = (moved.clone(), replay.cloned());
        self.change(move |change| Box::pin(creating::create(change, moved, lease, replay, most_active))).await
    }

    async fn record_denied(&self, denying: Denying<'_>) -> Result<Recorded, StoreError> {
        let wanted = denying::Wanted::from(denying);
        self.change(move |change| Box::pin(denying::record(change, wanted))).await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Stored>, StoreError> {
        let id = id.clone();
        self.read(move |connection| Box::pin(grants::find(connection, id))).await
    }

    async fn grant_by_key(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Option<Stored>, StoreError> {
        let (agent, key) = (agent.clone(), key.clone());
        self.read(move |connection| Box::pin(grants::find_by_key(connection, agent, key))).await
    }

    async fn save(
        &self,
        before: &Stored,
        moved: &Moved,
        guard: Guard,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError> {
        let (seen, moved, release) = (Seen::of(before, guard), moved.clone(), release.cloned());
        self.change(move |change| Box::pin(saving::save(change, seen, moved, release))).await
    }

    async fn add_events(&self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError> {
        let (id, events) = (id.clone(), events.to_vec());
        self.change(move |change| Box::pin(timeline::add(change, id, events))).await
    }

    async fn add_retry(&self, id: &GrantId, now: Timestamp) -> Result<(), StoreError> {
        let id = id.clone();
        self.change(move |change| Box::pin(timeline::add_retry(change, id, now))).await
    }

    async fn beat(
        &self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Beat, StoreError> {
        let (id, agent, key) = (id.clone(), agent.clone(), key.clone());
        self.write(move |connection| Box::pin(saving::beat(connection, id, agent, key, now))).await
    }

    async fn give_key_back(
        &self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> Result<KeyGivenBack, StoreError> {
        // A grant with a key never goes away: one that is found needs no place in the queue.
        if let Some(stored) = self.grant_by_key(agent, key).await? {
            return Ok(KeyGivenBack::Grant(stored));
        }
        let (agent, key) = (agent.clone(), key.clone());
        self.write(move |connection| Box::pin(creating::give_key_back(connection, agent, key, forget_after)))
            .await
    }

    async fn hold_shared(&self, holding: Holding<'_>) -> Result<Option<Hold>, StoreError> {
        let wanted = shared::Wanted::from(holding);
        self.change(move |change| Box::pin(shared::hold(change, wanted))).await
    }

    async fn note_shared(
        &self,
        hold: &Hold,
        whose: Whose,
        may_go_until: Option<Timestamp>,
        then: Then,
    ) -> Result<bool, StoreError> {
        let hold = hold.clone();
        self.change(move |change| Box::pin(shared::note(change, hold, whose, may_go_until, then))).await
    }

    async fn shared_with(&self, object: &str, grant: &GrantId) -> Result<u32, StoreError> {
        let (object, grant) = (object.to_owned(), grant.clone());
        self.read(move |connection| Box::pin(shared::needed_by_others(connection, object, grant))).await
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<Stored>, StoreError> {
        let listing = listing.clone();
        self.read(move |connection| Box::pin(listing::page(connection, listing))).await
    }

    async fn claim_due(&self, due: Due) -> Result<Vec<Stored>, StoreError> {
        self.write(move |connection| Box::pin(due::claim(connection, due))).await
    }

    async fn count_by_status(&self) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
        self.read(|connection| Box::pin(listing::count(connection))).await
    }

    async fn events(&self, id: &GrantId) -> Result<Vec<TimelineEvent>, StoreError> {
        let id = id.clone();
        self.read(move |connection| Box::pin(timeline::read(connection, id))).await
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

    async fn forget(&self, now: Timestamp) -> Result<(), StoreError> {
        // In small pieces, so that what is urgent gets in between.
        for what in forgetting::ALL {
            while self
                .write_credentials(move |connection| Box::pin(forgetting::some(connection, what, now)))
                .await?
                == forgetting::Left::Perhaps
            {}
        }
        let not_since = now.minus(DENIALS_KEPT_FOR);
        while self.write(move |connection| Box::pin(denying::forget(connection, not_since))).await?
            == forgetting::Left::Perhaps
        {}
        Ok(())
    }
}
