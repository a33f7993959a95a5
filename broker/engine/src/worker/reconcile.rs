//! Reconciles the targets with the store.
//!
//! An object with the broker's name and no live grant is an **orphan**: it is removed after a grace period if the store knows its
//! grant. A difference between a live grant's objects and what the broker provisioned is **drift**: the timeline says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{Grant, NewEvent, State, TargetScope};
use protocol::health::Reconciled;
use protocol::reconcile::{Drift, Orphan, OrphanOutcome, Reconciliation};
use protocol::{EventKind, GrantId, Timestamp};
use store::{GrantRecord, Listing};
use targets::{Found, OrphanRule, Reconcile, Target, TargetError};
use tokio::task::JoinSet;

use crate::{Engine, Refusal};

/// Settings of the reconciliation.
#[derive(Debug, Clone, Copy)]
pub struct Reconciling {
    /// The interval.
    pub every: Duration,
    /// How long an orphan is kept: an object that a driver is creating or removing is no orphan.
    pub grace: Duration,
    /// Whether orphans are removed.
    pub orphans: OrphanRule,
}

/// Whether orphans of unknown grants are removed. The store deletes no grant: it was restored from an older backup, or the
/// objects belong to another broker, and some may be in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownGrants {
    /// Only reported.
    Report,
    /// Removed, because an operator requested it.
    Remove,
}

/// When an orphan was found first, for targets that do not say when an object was created.
#[derive(Debug, Default)]
pub(crate) struct FirstSeen(Mutex<HashMap<String, Timestamp>>);

impl FirstSeen {
    fn since(&self, object: &str, now: Timestamp) -> Timestamp {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry(object.to_owned()).or_insert(now)
    }

    fn forget(&self, object: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

/// The objects found within one boundary.
type Surveyed = (Arc<dyn Target>, Result<Vec<Found>, TargetError>);

/// Boundaries surveyed at once, so that one that does not answer delays no other.
const MAX_CONCURRENT: usize = 16;
const PAGE: u32 = 200;

impl Engine {
    /// Reconciles once.
    pub async fn reconcile(self: &Arc<Self>, unknown: UnknownGrants) -> Result<Reconciliation, Refusal> {
        let mut done = Reconciliation::default();
        let mut surveys = JoinSet::new();
        for scope in self.scopes().await? {
            let target = Arc::clone(self.driver.target(scope.kind())?);
            if surveys.len() >= MAX_CONCURRENT {
                self.classify_next(&mut surveys, unknown, &mut done).await?;
            }
            surveys.spawn(async move {
                let found = match target.reconcile() {
                    Some(reconcile) => reconcile.survey(&scope).await,
                    None => Ok(Vec::new()),
                };
                (target, found)
            });
        }
        while !surveys.is_empty() {
            self.classify_next(&mut surveys, unknown, &mut done).await?;
        }
        self.find_drift(&mut done).await?;
        let Reconciliation { found, orphans, drifted, drift: _, not_looked_at } = &done;
        if !orphans.is_empty() || *drifted > 0 || *not_looked_at > 0 {
            let orphans = orphans.len();
            tracing::warn!(found, orphans, drifted, not_looked_at, "the target differs from the store");
        }
        let at = self.clock.now();
        self.reconciled.store(Some(Arc::new(Reconciled { at, found: done.clone() })));
        Ok(done)
    }

    /// Every scope of every agent, each once: agents often share one.
    async fn scopes(&self) -> Result<Vec<TargetScope>, Refusal> {
        let mut scopes: Vec<TargetScope> = Vec::new();
        let mut after = None;
        loop {
            let agents = self.store.agents(after.as_ref(), PAGE).await?;
            for scope in agents.iter().flat_map(|agent| agent.registration.boundary.scopes()) {
                let target = self.driver.target(scope.target.kind());
                let can_reconcile = target.is_ok_and(|target| target.reconcile().is_some());
                if can_reconcile && !scopes.contains(&scope.target) {
                    scopes.push(scope.target.clone());
                }
            }
            let Some(last) = agents.last() else { return Ok(scopes) };
            after = Some(last.id.clone());
        }
    }

    async fn classify_next(
        &self,
        surveys: &mut JoinSet<Surveyed>,
        unknown: UnknownGrants,
        done: &mut Reconciliation,
    ) -> Result<(), Refusal> {
        let Some(Ok((target, found))) = surveys.join_next().await else { return Ok(()) };
        match found {
            Ok(found) => {
                let Some(reconcile) = target.reconcile() else { return Ok(()) };
                for one in found {
                    done.found += 1;
                    done.orphans.extend(self.classify(reconcile, &one, unknown).await?);
                }
            }
            Err(error) => {
                done.not_looked_at += 1;
                tracing::warn!(%error, "a boundary cannot be surveyed for orphans");
            }
        }
        Ok(())
    }

    async fn classify(
        &self,
        target: &dyn Reconcile,
        found: &Found,
        unknown: UnknownGrants,
    ) -> Result<Option<Orphan>, Refusal> {
        let now = self.clock.now();
        let claim = self.driver.claim_from(now);
        let owner = self.store.grant(&found.grant).await?;
        let object = &found.object;
        if is_needed(owner.as_ref(), found, now) {
            self.first_seen.forget(object);
            return Ok(None);
        }
        let Reconciling { grace, orphans, .. } = self.settings.load().reconciling;
        let ended_at = owner.as_ref().and_then(|record| record.grant.ended_at());
        let since = ended_at.or(found.created_at).unwrap_or_else(|| self.first_seen.since(object, now));
        let (outcome, detail) = match (&owner, unknown, orphans) {
            (None, UnknownGrants::Report, _) => {
                let why = "the database does not know its grant · left until an operator has it removed";
                (OrphanOutcome::Reported, why.to_owned())
            }
            (Some(_), ..) if now < since.plus(grace) => {
                (OrphanOutcome::Waiting, format!("left alone until {}", since.plus(grace)))
            }
            (Some(_), _, OrphanRule::Report) => {
                (OrphanOutcome::Reported, "left as it is, only reported".to_owned())
            }
            (None, UnknownGrants::Remove, _) | (Some(_), _, OrphanRule::Remove) => {
                match target.remove(found, now, &claim).await {
                    Ok(text) => (OrphanOutcome::Removed, text),
                    Err(error) => (OrphanOutcome::Failed, error.to_string()),
                }
            }
        };
        let known = owner.is_some();
        let text = format!("orphan · {object} · {detail}");
        match outcome {
            OrphanOutcome::Waiting => {}
            OrphanOutcome::Reported | OrphanOutcome::Removed => {
                self.counters.orphans_found();
                tracing::warn!(grant = %found.grant, known, "{text}");
                if known {
                    self.record_once(&found.grant, EventKind::Orphan, &text).await?;
                }
            }
            OrphanOutcome::Failed => {
                self.counters.orphans_found();
                tracing::error!(grant = %found.grant, known, object, "an orphan cannot be removed: {detail}");
            }
        }
        if outcome == OrphanOutcome::Removed {
            self.counters.orphans_removed();
            self.first_seen.forget(object);
        }
        let (grant_id, object) = (found.grant.clone(), object.clone());
        Ok(Some(Orphan { grant_id, object, known, outcome, detail }))
    }

    async fn find_drift(&self, done: &mut Reconciliation) -> Result<(), Refusal> {
        let mut after = None;
        loop {
            let listing = Listing { live: Some(true), after, limit: PAGE, ..Listing::default() };
            let page = self.store.list(&listing).await?;
            for record in &page {
                if matches!(record.grant.state, State::Active { .. }) {
                    self.drift_of(&record.grant, done).await?;
                }
            }
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.grant.id.clone());
        }
    }

    async fn drift_of(&self, grant: &Grant, done: &mut Reconciliation) -> Result<(), Refusal> {
        let Some(target) = self.driver.target(grant.target)?.reconcile() else { return Ok(()) };
        for step in &grant.steps {
            let drift = match target.drift(grant, step, self.clock.now()).await {
                Ok(Some(drift)) => drift,
                Ok(None) => continue,
                Err(error) => {
                    done.not_looked_at += 1;
                    tracing::warn!(grant = %grant.id, %error, "a live grant cannot be compared with its target");
                    continue;
                }
            };
            // Neither an object of another grant nor the end of this grant is drift.
            if let Some(object) = &drift.object
                && self.store.other_references(object, &grant.id).await? > 0
            {
                continue;
            }
            let now = self.store.grant(&grant.id).await?;
            if !now.is_some_and(|record| matches!(record.grant.state, State::Active { .. })) {
                continue;
            }
            done.drift.push(Drift { grant_id: grant.id.clone(), what: drift.what.clone() });
            if self.record_once(&grant.id, EventKind::Drift, &drift.what).await? {
                done.drifted += 1;
                self.counters.drift_detected();
                tracing::warn!(grant = %grant.id, "drift · {}", drift.what);
            }
        }
        Ok(())
    }

    /// Writes an event that is not on the timeline yet. True if it was written.
    async fn record_once(&self, id: &GrantId, kind: EventKind, text: &str) -> Result<bool, Refusal> {
        let events = self.store.events(id).await?;
        if events.iter().any(|event| event.kind == kind && event.text == text) {
            return Ok(false);
        }
        self.store.add_events(id, &[NewEvent::new(self.clock.now(), kind, text)]).await?;
        Ok(true)
    }

    pub(super) async fn reconcile_periodically(self: Arc<Self>) {
        loop {
            let every = self.settings.load().reconciling.every;
            tokio::time::sleep(every).await;
            if let Err(error) = self.reconcile(UnknownGrants::Report).await {
                self.counters.worker_errors();
                tracing::error!(%error, cause = error.cause.as_deref(), "cannot reconcile the targets with the store");
            }
        }
    }
}

/// Whether a grant still needs the object.
fn is_needed(owner: Option<&GrantRecord>, found: &Found, now: Timestamp) -> bool {
    if found.needed_until.is_some_and(|until| now < until) {
        return true;
    }
    owner.is_some_and(|record| {
        let is_session_deny = found.needed_until.is_some() && record.grant.session_deny_until.is_some();
        !record.grant.status().is_final() || is_session_deny
    })
}
