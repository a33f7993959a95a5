//! Is the target as the store says? What has our names on it and belongs to no live grant is an orphan, and goes
//! after a grace period; what a live grant gave and is not there any more, or is there twice, is drift, and is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{Boundary, Grant, NewEvent, State};
use protocol::{EventKind, GrantId, Timestamp};
use store::{Listing, Stored};
use targets::{Found, LateChanges, Target, TargetError};
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
    /// They are removed.
    Remove,
    /// They are only reported: for the time after a database was restored.
    Report,
}

/// What one comparison found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Things with our names on them.
    pub found: usize,
    /// Orphans whose grace is over.
    pub orphans: usize,
    /// Those that were removed.
    pub removed: usize,
    /// Live grants beside which something was changed, and that were not told of it before.
    pub drifted: usize,
    /// Places that could not be looked at, or orphans that could not be removed.
    pub failed: usize,
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
    pub async fn reconcile(self: &Arc<Self>) -> Result<Reconciled, Refusal> {
        let mut done = Reconciled::default();
        let mut surveys = JoinSet::new();
        for boundary in self.boundaries().await? {
            let target = Arc::clone(self.target(boundary.target())?);
            if surveys.len() >= AT_ONCE {
                self.judge_next(&mut surveys, &mut done).await?;
            }
            surveys.spawn(async move {
                let found = target.survey(&boundary).await;
                (target, found)
            });
        }
        while !surveys.is_empty() {
            self.judge_next(&mut surveys, &mut done).await?;
        }
        self.look_for_drift(&mut done).await?;
        if done != (Reconciled { found: done.found, ..Reconciled::default() }) {
            tracing::warn!(?done, "the target was not as the store says");
        }
        Ok(done)
    }

    /// One boundary for each place: agents often share one.
    async fn boundaries(&self) -> Result<Vec<Boundary>, Refusal> {
        let mut boundaries: Vec<Boundary> = Vec::new();
        let mut after = None;
        loop {
            let agents = self.store.agents(after.as_ref(), PAGE).await?;
            for agent in &agents {
                let boundary = &agent.registration.boundary;
                let changes_something = self
                    .target(boundary.target())
                    .is_ok_and(|target| target.late_changes() != LateChanges::Impossible);
                if changes_something && !boundaries.contains(boundary) {
                    boundaries.push(boundary.clone());
                }
            }
            let Some(last) = agents.last() else { return Ok(boundaries) };
            after = Some(last.id.clone());
        }
    }

    async fn judge_next(
        &self,
        surveys: &mut JoinSet<Surveyed>,
        done: &mut Reconciled,
    ) -> Result<(), Refusal> {
        let Some(Ok((target, found))) = surveys.join_next().await else { return Ok(()) };
        match found {
            Ok(found) => {
                for one in found {
                    self.judge(target.as_ref(), &one, done).await?;
                }
            }
            Err(error) => {
                done.failed += 1;
                tracing::warn!(%error, "a place cannot be looked at for orphans");
            }
        }
        Ok(())
    }

    async fn judge(&self, target: &dyn Target, found: &Found, done: &mut Reconciled) -> Result<(), Refusal> {
        done.found += 1;
        let now = self.clock.now();
        let owner = self.store.grant(&found.grant).await?;
        let object = &found.step.object;
        if belongs(owner.as_ref(), found, now) {
            self.first_seen.forget(object);
            return Ok(());
        }
        let ended_at = owner.as_ref().and_then(|stored| stored.grant.ended_at());
        let since = ended_at.or(found.made_at).unwrap_or_else(|| self.first_seen.since(object, now));
        if now < since.plus(self.settings.reconciling.grace) {
            return Ok(());
        }
        done.orphans += 1;
        self.counters.orphans_found();
        let outcome = match self.settings.reconciling.orphans {
            Orphans::Report => Ok(format!("orphan · {object} · left as it is, only reported")),
            Orphans::Remove => {
                let removed = target.remove(found, now).await;
                removed.map(|text| format!("orphan · {object} · {text}"))
            }
        };
        match outcome {
            Ok(text) => {
                tracing::warn!(grant = %found.grant, known = owner.is_some(), "{text}");
                if self.settings.reconciling.orphans == Orphans::Remove {
                    done.removed += 1;
                    self.counters.orphans_removed();
                    self.first_seen.forget(object);
                }
                if owner.is_some() {
                    self.tell_once(&found.grant, EventKind::Orphan, &text).await?;
                }
            }
            Err(error) => {
                done.failed += 1;
                tracing::error!(grant = %found.grant, %error, object, "an orphan cannot be removed");
            }
        }
        Ok(())
    }

    async fn look_for_drift(&self, done: &mut Reconciled) -> Result<(), Refusal> {
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

    async fn drift_of(&self, grant: &Grant, done: &mut Reconciled) -> Result<(), Refusal> {
        let target = self.target(grant.target)?;
        if target.late_changes() == LateChanges::Impossible {
            return Ok(());
        }
        for step in &grant.steps {
            let drift = match target.drift(grant, step, self.clock.now()).await {
                Ok(Some(drift)) => drift,
                Ok(None) => continue,
                Err(error) => {
                    done.failed += 1;
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
                self.counters.drifts_found();
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
            tokio::time::sleep(self.settings.reconciling.every).await;
            if let Err(error) = self.reconcile().await {
                self.counters.work_errors();
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
        let is_kept_for_its_dead_sessions = found.needed_until.is_some() && stored.grant.sweep_at.is_some();
        !stored.grant.status().is_final() || is_kept_for_its_dead_sessions
    })
}
