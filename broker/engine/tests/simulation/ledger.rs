//! Records the true state of the store and of the cloud, and checks the invariants of the simulation.
//!
//! The store and the cloud report every change when they apply it, also if its caller is dead or its answer is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Grant, State};
use protocol::{AgentId, GrantId, GrantStatus, IdempotencyKey, Timestamp};
use store::{AfterUpdate, NewDecision, Ownership, ResourceLock};

use crate::trace::Trace;

mod decisions;
mod entry;

use decisions::Decisive;
pub(crate) use entry::Entry;

/// The largest difference between two clocks.
pub(crate) const SKEW: Duration = Duration::from_millis(50);

/// A change at the cloud, or an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Attach,
    Detach,
    Look,
}

struct Held {
    who: usize,
    fencing_token: i64,
    until: Timestamp,
    released: bool,
}

#[derive(Default)]
struct Book {
    there: BTreeSet<String>,
    foreign: BTreeSet<String>,
    grants: BTreeMap<GrantId, Entry>,
    claims: BTreeMap<GrantId, (usize, Timestamp)>,
    holds: BTreeMap<String, Held>,
    revoked_keys: BTreeSet<IdempotencyKey>,
    disabled: BTreeSet<AgentId>,
    decisive: Decisive,
}

pub(crate) struct Ledger {
    trace: Arc<Trace>,
    book: Mutex<Book>,
}

impl Ledger {
    pub(crate) fn of(trace: &Arc<Trace>, foreign: &[&str]) -> Self {
        let foreign: BTreeSet<String> = foreign.iter().map(|name| (*name).to_owned()).collect();
        let book = Book { there: foreign.clone(), foreign, ..Book::default() };
        Self { trace: Arc::clone(trace), book: Mutex::new(book) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn created(&self, who: usize, grant: &Grant, decided: Option<&NewDecision<'_>>) {
        let objects: Vec<&str> = grant.steps.iter().map(|step| step.object.as_str()).collect();
        self.trace.say(&format!("replica {who} · {} is requested: {objects:?}", grant.id));
        let mut book = self.book();
        self.check_created(&book, grant, decided);
        let others = decided.map_or(0, |new| new.decision.facts.run.agent_live);
        book.grants.insert(grant.id.clone(), Entry::of(grant, others));
    }

    /// Checks that the save replaces the version that was read, and the invariants of the new state.
    pub(crate) fn saved(&self, who: usize, grant: &Grant, was: Option<i64>, read: i64) {
        if was != Some(read) {
            self.trace.wrong(&format!(
                "{} was saved over version {read}, but the stored version is {was:?}",
                grant.id
            ));
        }
        let now = self.trace.now();
        let mut book = self.book();
        book.claims.remove(&grant.id);
        let Some(entry) = book.grants.get_mut(&grant.id) else {
            return self.trace.wrong(&format!("{} was saved but never created", grant.id));
        };
        let before = entry.grant.status();
        let after = grant.status();
        entry.moves_to(grant);
        if before != after {
            self.trace.say(&format!("replica {who} · {} is {after:?}", grant.id));
        }
        for step in &grant.steps {
            let there = book.there.contains(&step.object);
            if after == GrantStatus::Active && !there && now.plus(SKEW) < grant.expires_at {
                self.trace.wrong(&format!("{} is active without {}", grant.id, step.object));
            }
            let ours = there && !book.foreign.contains(&step.object);
            if after.is_final() && ours && !book.is_wanted(&step.object) {
                self.trace.wrong(&format!("leak: {} is {after:?}, but {} exists", grant.id, step.object));
            }
        }
    }

    /// The cloud applies a change. Returns whether the object existed.
    pub(crate) fn lands(&self, call: Call, object: &str, grant: &GrantId) -> bool {
        let mut book = self.book();
        let was_there = book.there.contains(object);
        match call {
            Call::Look => {}
            Call::Attach => {
                self.trace.say(&format!("cloud · {object} is there for {grant}"));
                book.there.insert(object.to_owned());
                if !book.foreign.contains(object) && !book.is_wanted(object) {
                    self.trace.wrong(&format!("leak: {object} arrives for {grant}, and no grant is live"));
                }
            }
            Call::Detach if was_there => {
                self.trace.say(&format!("cloud · {object} is gone, for {grant}"));
                book.there.remove(object);
                if book.foreign.contains(object) {
                    self.trace.wrong(&format!("{object} was there before us, and is taken away"));
                }
                let now = self.trace.now();
                if let Some(cut) = book.active_with(object, now) {
                    self.trace.wrong(&format!("early cut: {cut} is active, and {object} is taken away"));
                }
            }
            Call::Detach => {}
        }
        was_there
    }

    /// Checks that the replica that changes a shared object has its lock.
    pub(crate) fn changes_shared(&self, who: usize, object: &str) {
        let now = self.trace.now();
        let may = self
            .book()
            .holds
            .get(object)
            .is_some_and(|held| held.who == who && !held.released && now < held.until.plus(SKEW));
        if !may {
            self.trace.wrong(&format!("replica {who} changes {object}, which it does not hold"));
        }
    }

    pub(crate) fn claimed(&self, who: usize, grant: &GrantId, until: Timestamp) {
        self.trace.say(&format!("replica {who} · claims {grant}"));
        let now = self.trace.now();
        let before = self.book().claims.insert(grant.clone(), (who, until));
        if let Some((other, theirs)) = before
            && now.plus(SKEW) < theirs
        {
            self.trace.wrong(&format!("replica {who} claims {grant}, which replica {other} has"));
        }
    }

    pub(crate) fn held(&self, who: usize, lock: &ResourceLock) {
        let now = self.trace.now();
        self.trace.say(&format!("replica {who} · holds {}, {:?}", lock.object, lock.ownership));
        let held = Held { who, fencing_token: lock.fencing_token, until: lock.until, released: false };
        let Some(before) = self.book().holds.insert(lock.object.clone(), held) else { return };
        if !before.released && now.plus(SKEW) < before.until {
            let other = before.who;
            self.trace
                .wrong(&format!("replica {who} locked {}, but replica {other} has the lock", lock.object));
        }
        if lock.fencing_token <= before.fencing_token {
            self.trace.wrong(&format!("the fencing token of {} does not grow", lock.object));
        }
    }

    pub(crate) fn noted(&self, who: usize, lock: &ResourceLock, ownership: Ownership, then: AfterUpdate) {
        self.trace.say(&format!("replica {who} · {} is {ownership:?}, {then:?}", lock.object));
        let mut book = self.book();
        match book.holds.get_mut(&lock.object) {
            Some(held) if held.fencing_token == lock.fencing_token => {
                held.released = then == AfterUpdate::ReleaseLock
            }
            Some(_) | None => {
                self.trace.wrong(&format!("replica {who} updated {} with an old fencing token", lock.object));
            }
        }
    }

    /// The client received its credentials.
    pub(crate) fn told(&self, id: &GrantId) {
        self.trace.say(&format!("client · has {id}"));
        let mut book = self.book();
        match book.grants.get_mut(id) {
            Some(entry) if entry.grant.granted_at().is_some() => entry.told = true,
            Some(_) | None => {
                self.trace.wrong(&format!("a client received credentials of {id}, which was never active"))
            }
        }
    }

    /// The broker acknowledged a heartbeat that the client sent at `sent`.
    pub(crate) fn heard(&self, id: &GrantId, sent: Timestamp) {
        if let Some(entry) = self.book().grants.get_mut(id) {
            entry.heard = entry.heard.max(Some(sent));
        }
    }

    pub(crate) fn gives_back(&self, key: &IdempotencyKey) {
        self.book().revoked_keys.insert(key.clone());
    }

    pub(crate) fn disables(&self, agent: &AgentId) {
        self.book().disabled.insert(agent.clone());
    }

    /// Reports grants that should be final by now. True if every grant is final.
    pub(crate) fn overdue(&self, since: impl Fn(&Grant) -> Timestamp) -> bool {
        let now = self.trace.now();
        let book = self.book();
        let mut nothing_left = true;
        for entry in book.grants.values().filter(|entry| !entry.grant.status().is_final()) {
            nothing_left = false;
            if since(&entry.grant) < now {
                let Grant { id, state, .. } = &entry.grant;
                self.trace.wrong(&format!("{id} should be final by now, but is {state:?}"));
            }
        }
        nothing_left
    }

    /// Every grant, for the checks at the end of the run.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.book().grants.values().cloned().collect()
    }

    /// Whether a client revoked this grant, an operator disabled its agent, or a later decision refused it.
    pub(crate) fn was_asked_for(&self, entry: &Entry) -> bool {
        let book = self.book();
        entry.grant.key.as_ref().is_some_and(|key| book.revoked_keys.contains(key))
            || book.disabled.contains(&entry.grant.agent_id)
            || entry.denied
    }

    pub(crate) fn left_over(&self) -> Vec<String> {
        let book = self.book();
        book.there.symmetric_difference(&book.foreign).cloned().collect()
    }
}

impl Book {
    /// Whether a grant that is not final has a step for the object.
    fn is_wanted(&self, object: &str) -> bool {
        let live = self.grants.values().filter(|entry| !entry.grant.status().is_final());
        live.flat_map(|entry| &entry.grant.steps).any(|step| step.object == object)
    }

    fn active_with(&self, object: &str, now: Timestamp) -> Option<&GrantId> {
        let active = self.grants.values().map(|entry| &entry.grant).find(|grant| {
            matches!(grant.state, State::Active { .. })
                && now.plus(SKEW) < grant.expires_at
                && grant.steps.iter().any(|step| step.object == object)
        });
        active.map(|grant| &grant.id)
    }
}
