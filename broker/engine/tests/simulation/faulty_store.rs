//! The shared store as one replica sees it: slow, unavailable, or committing without a response.
//!
//! A call may be delayed, and may fail, before or after the store commits it. The store records each commit in the
//! [`Ledger`](crate::ledger::Ledger) when it happens.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::grant::Transition;
use domain::{Decision, Lease, ReplayGuard};
use protocol::posture::PostureOutcome;
use protocol::rules::{RuleSetFiles, RulesState};
use protocol::{GrantId, Timestamp};
use store::{
    AfterUpdate, Created, DenialOutcome, DeniedRequest, Due, GrantRecord, LockRequest, Memory, NewDecision,
    Ownership, PostureStatement, Precondition, Release, ResourceLock, SaveOutcome, Store, StoreError,
};
use testkit::decorate_store;

use crate::fault_injection;
use crate::fault_rates::Link;
use crate::fixture::Fixture;

pub(crate) struct FaultyStore {
    pub(crate) fixture: Arc<Fixture>,
    pub(crate) link: Arc<Link>,
    /// The replica that calls; each start has a new number.
    pub(crate) who: usize,
    /// The slot that the replica runs in.
    pub(crate) slot: usize,
}

decorate_store!(FaultyStore, recorder, ask);

impl FaultyStore {
    fn recorder(&self) -> Recorder<'_> {
        Recorder { fixture: &self.fixture, who: self.who }
    }

    async fn held_up(&self, call: &str) {
        let Fixture { rng, fault_rates, .. } = &*self.fixture;
        if fault_rates.occurs(rng, fault_rates.store_delayed) {
            let most = if rng.chance(20) { 12_000 } else { 400 };
            tokio::time::sleep(rng.millis(1, most)).await;
        }
        match call {
            // Called so often that no other call would ever be hit.
            "claim_due" => self.link.awake().await,
            _ => fault_injection::maybe_inject(&self.fixture, self.slot).await,
        }
    }

    fn fails(&self, call: &str, when: &str, permille: u64) -> Result<(), StoreError> {
        let cut = self.link.store_cut.load(Ordering::SeqCst);
        if !cut && !self.fixture.fault_rates.occurs(&self.fixture.rng, permille) {
            return Ok(());
        }
        self.fixture.trace.say(&format!("replica {} · {call} fails {when}", self.who));
        Err(StoreError::Unavailable("simulated".into()))
    }

    async fn ask<T>(
        &self,
        call: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.held_up(call).await;
        self.fails(call, "before the commit", self.fixture.fault_rates.store_fails)?;
        let done = work.await;
        self.held_up(call).await;
        self.fails(call, "after the commit", self.fixture.fault_rates.store_unheard)?;
        done
    }
}

/// The store without faults, which records each commit in the ledger.
struct Recorder<'a> {
    fixture: &'a Fixture,
    who: usize,
}

impl Deref for Recorder<'_> {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.fixture.store
    }
}

/// These methods take precedence over the store's.
impl Recorder<'_> {
    async fn create_grant(
        &self,
        transition: &Transition,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
        decision: Option<&NewDecision<'_>>,
    ) -> Result<Created, StoreError> {
        let created =
            self.fixture.store.create_grant(transition, lease, replay, most_active, decision).await?;
        if let Created::New(stored) = &created {
            self.fixture.ledger.created(self.who, &stored.grant, decision);
        }
        Ok(created)
    }

    async fn save(
        &self,
        before: &GrantRecord,
        transition: &Transition,
        precondition: Precondition,
        release: Option<&Release>,
    ) -> Result<SaveOutcome, StoreError> {
        let there = self.fixture.store.grant(&before.grant.id).await?;
        let saved = self.fixture.store.save(before, transition, precondition, release).await?;
        if let Some(release) = release.filter(|_| !matches!(saved, SaveOutcome::LockLost)) {
            self.fixture.ledger.noted(self.who, &release.lock, release.ownership, AfterUpdate::ReleaseLock);
        }
        if let SaveOutcome::Done(stored) = &saved {
            let was = there.map(|there| there.version);
            self.fixture.ledger.saved(self.who, &stored.grant, was, before.version);
        }
        Ok(saved)
    }

    async fn lock_shared_object(&self, request: LockRequest<'_>) -> Result<Option<ResourceLock>, StoreError> {
        let locked = self.fixture.store.lock_shared_object(request).await?;
        if let Some(lock) = &locked {
            self.fixture.ledger.held(self.who, lock);
        }
        Ok(locked)
    }

    async fn update_shared_object(
        &self,
        lock: &ResourceLock,
        ownership: Ownership,
        delete_may_land_until: Option<Timestamp>,
        after: AfterUpdate,
    ) -> Result<bool, StoreError> {
        let updated =
            self.fixture.store.update_shared_object(lock, ownership, delete_may_land_until, after).await?;
        if updated {
            self.fixture.ledger.noted(self.who, lock, ownership, after);
        }
        Ok(updated)
    }

    async fn record_denied(&self, denying: DeniedRequest<'_>) -> Result<DenialOutcome, StoreError> {
        let outcome = self.fixture.store.record_denied(denying).await?;
        if outcome == DenialOutcome::New {
            self.fixture.ledger.denied(denying.decision);
        }
        Ok(outcome)
    }

    async fn record_decision(&self, grant: Option<&GrantId>, decision: &Decision) -> Result<i64, StoreError> {
        let number = self.fixture.store.record_decision(grant, decision).await?;
        self.fixture.ledger.recorded(grant, decision);
        Ok(number)
    }

    async fn reevaluated(
        &self,
        record: &GrantRecord,
        mark: i64,
        decision: Option<&Decision>,
        next: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let there = self.fixture.store.grant(&record.grant.id).await?;
        let stays = self.fixture.store.reevaluated(record, mark, decision, next).await?;
        if stays {
            self.fixture.ledger.stays(&record.grant, decision);
        } else if there.is_some_and(|there| there.version == record.version) {
            self.fixture.ledger.released(&record.grant.id);
        }
        Ok(stays)
    }

    async fn change_rules(
        &self,
        expected: i64,
        next: &RulesState,
        files: Option<&RuleSetFiles>,
    ) -> Result<Option<RulesState>, StoreError> {
        let changed = self.fixture.store.change_rules(expected, next, files).await?;
        if let Some(state) = &changed {
            self.fixture.ledger.rules_changed(self.who, state);
        }
        Ok(changed)
    }

    async fn put_posture(
        &self,
        statement: &PostureStatement,
        now: Timestamp,
    ) -> Result<PostureOutcome, StoreError> {
        let outcome = self.fixture.store.put_posture(statement, now).await?;
        match outcome {
            PostureOutcome::Changed | PostureOutcome::Unchanged => {
                self.fixture.ledger.found(self.who, statement);
            }
            PostureOutcome::Older => {}
        }
        Ok(outcome)
    }

    async fn claim_due(&self, due: Due) -> Result<Vec<GrantRecord>, StoreError> {
        let claimed = self.fixture.store.claim_due(due).await?;
        for stored in &claimed {
            self.fixture.ledger.claimed(self.who, &stored.grant.id, due.claimed_until);
        }
        Ok(claimed)
    }
}
