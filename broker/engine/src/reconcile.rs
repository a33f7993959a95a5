//! Is the target as the store says? What has our names on it and belongs to no live grant is an orphan, and goes
//! after a grace period if the store knows the grant; what a live grant gave and is not there any more, or is there twice, is drift, and is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{Grant, NewEvent, State, TargetScope};
use protocol::reconcile::{Orphan, OrphanOutcome, Reconciliation};
use protocol::{EventKind, GrantId, Timestamp};
use store::{Listing, Stored};
use targets::{Found, Reconcile, Target, TargetError};
use tokio::task::JoinSet;

use crate::{Engine, Refusal};

/// How the target is compared with the store.
#[derive(Debug, Clone, Copy)]
pub struct Reconciling {
    /// How often.
    pub every: Duration,
    /// How long an orphan is left alone, so that what is being made or undone just now is not taken for one.
    pub grace: Duration,
    /// What is done to orphans.
    pub orphans: Orphans,
}

/// What is done to orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphans {
    /// They are removed, if the store knows their grants.
    Remove,
    /// They are only reported.
    Report,
}

/// What is done to orphans of grants that the store does not know. It forgets none: either it was restored from a backup
/// that is older than they are, or they are somebody else's, and some may be live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// They are reported.
    Report,
    /// They are removed: an operator has said so.
    Remove,
}

/// When an orphan was seen first, for those whose target does not say when it was made.
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

/// What was found at one place.
type Surveyed = (Arc<dyn Target>, Result<Vec<Found>, TargetError>);

/// So many places are looked at at once: one that does not answer keeps nobody waiting.
const AT_ONCE: usize = 16;
const PAGE: u32 = 200;

impl Engine {
    /// Compares once.
    pub async fn reconcile(self: &Arc<Self>, unknown: Unknown) -> Result<Reconciliation, Refusal> {
        let mut done = Reconciliation::default();
        let mut surveys = JoinSet::new();
        for scope in self.scopes().await? {
            let target = Arc::clone(self.target(scope.kind())?);
            if surveys.len() >= AT_ONCE {
                self.judge_next(&mut surveys, unknown, &mut done).await?;
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
            self.judge_next(&mut surveys, unknown, &mut done).await?;
        }
        self.look_for_drift(&mut done).await?;
        let Reconciliation { found, orphans, drifted, not_looked_at } = &done;
        if !orphans.is_empty() || *drifted > 0 || *not_looked_at > 0 {
            let orphans = orphans.len();
            tracing::warn!(found, orphans, drifted, not_looked_at, "the target was not as the store says");
        }
        Ok(done)
    }

    /// Every scope of every agent, each once: agents often share one.
    async fn scopes(&self) -> Result<Vec<TargetScope>, Refusal> {
        let mut scopes: Vec<TargetScope> = Vec::new();
        let mut after = None;
        loop {
            let agents = self.store.agents(after.as_ref(), PAGE).await?;
            for scope in agents.iter().flat_map(|agent| agent.registration.boundary.scopes()) {
                let target = self.target(scope.target.kind());
                let can_reconcile = target.is_ok_and(|target| target.reconcile().is_some());
                if can_reconcile && !scopes.contains(&scope.target) {
                    scopes.push(scope.target.clone());
                }
            }
            let Some(last) = agents.last() else { return Ok(scopes) };
            after = Some(last.id.clone());
        }
    }

    async fn judge_next(
        &self,
        surveys: &mut JoinSet<Surveyed>,
        unknown: Unknown,
        done: &mut Reconciliation,
    ) -> Result<(), Refusal> {
        let Some(Ok((target, found))) = surveys.join_next().await else { return Ok(()) };
        match found {
            Ok(found) => {
                let Some(reconcile) = target.reconcile() else { return Ok(()) };
                for one in found {
                    done.found += 1;
                    done.orphans.extend(self.judge(reconcile, &one, unknown).await?);
                }
            }
            Err(error) => {
                done.not_looked_at += 1;
                tracing::warn!(%error, "a place cannot be looked at for orphans");
            }
        }
        Ok(())
    }

    async fn judge(
        &self,
        target: &dyn Reconcile,
        found: &Found,
        unknown: Unknown,
    ) -> Result<Option<Orphan>, Refusal> {
        let now = self.clock.now();
        let claim = self.claim_from(now);
        let owner = self.store.grant(&found.grant).await?;
        let object = &found.object;
        if belongs(owner.as_ref(), found, now) {
            self.first_seen.forget(object);
            return Ok(None);
        }
        let Reconciling { grace, orphans, .. } = self.settings.get().reconciling;
        let ended_at = owner.as_ref().and_then(|stored| stored.grant.ended_at());
        let since = ended_at.or(found.created_at).unwrap_or_else(|| self.first_seen.since(object, now));
        let (outcome, detail) = match (&owner, unknown, orphans) {
            (None, Unknown::Report, _) => {
                let why = "the database does not know its grant · left until an operator has it removed";
                (OrphanOutcome::Reported, why.to_owned())
            }
            (Some(_), ..) if now < since.plus(grace) => {
                (OrphanOutcome::Waiting, format!("left alone until {}", since.plus(grace)))
            }
            (Some(_), _, Orphans::Report) => {
                (OrphanOutcome::Reported, "left as it is, only reported".to_owned())
            }
            (None, Unknown::Remove, _) | (Some(_), _, Orphans::Remove) => {
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
                    self.tell_once(&found.grant, EventKind::Orphan, &text).await?;
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

    async fn look_for_drift(&self, done: &mut Reconciliation) -> Result<(), Refusal> {
        let mut after = None;
        loop {
            let listing = Listing { live: Some(true), agent: None, after, limit: PAGE };
            let page = self.store.list(&listing).await?;
            for stored in &page {
                if matches!(stored.grant.state, State::Active { .. }) {
                    self.drift_of(&stored.grant, done).await?;
                }
            }
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.grant.id.clone());
        }
    }

    async fn drift_of(&self, grant: &Grant, done: &mut Reconciliation) -> Result<(), Refusal> {
        let Some(target) = self.target(grant.target)?.reconcile() else { return Ok(()) };
        for step in &grant.steps {
            let drift = match target.drift(grant, step, self.clock.now()).await {
                Ok(Some(drift)) => drift,
                Ok(None) => continue,
                Err(error) => {
                    done.not_looked_at += 1;
                    tracing::warn!(grant = %grant.id, %error, "a live grant cannot be looked at");
                    continue;
                }
            };
            // What another grant put there is no drift; nor is what went because this grant ended meanwhile.
            if let Some(object) = &drift.object
                && self.store.shared_with(object, &grant.id).await? > 0
            {
                continue;
            }
            let still_active = self.store.grant(&grant.id).await?;
            if still_active.is_some_and(|stored| matches!(stored.grant.state, State::Active { .. }))
                && self.tell_once(&grant.id, EventKind::Drift, &drift.what).await?
            {
                done.drifted += 1;
                self.counters.drift_detected();
                tracing::warn!(grant = %grant.id, "drift · {}", drift.what);
            }
        }
        Ok(())
    }

    /// A row that is on the timeline already is not written again. True if it was written.
    async fn tell_once(&self, id: &GrantId, kind: EventKind, text: &str) -> Result<bool, Refusal> {
        let rows = self.store.events(id).await?;
        if rows.iter().any(|row| row.kind == kind && row.text == text) {
            return Ok(false);
        }
        self.store.add_events(id, &[NewEvent::new(self.clock.now(), kind, text)]).await?;
        Ok(true)
    }

    /// Compares for ever.
    pub(crate) async fn reconcile_now_and_then(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.settings.get().reconciling.every).await;
            if let Err(error) = self.reconcile(Unknown::Report).await {
                self.counters.worker_errors();
                tracing::error!(%error, cause = error.cause.as_deref(), "cannot compare the target with the store");
            }
        }
    }
}

/// Whether a grant that is there to answer for it still has a use for it.
fn belongs(owner: Option<&Stored>, found: &Found, now: Timestamp) -> bool {
    if found.needed_until.is_some_and(|until| now < until) {
        return true;
    }
    owner.is_some_and(|stored| {
        let is_kept_for_its_dead_sessions =
            found.needed_until.is_some() && stored.grant.session_deny_until.is_some();
        !stored.grant.status().is_final() || is_kept_for_its_dead_sessions
    })
}
