//! What is due? Deadlines, silent holders, unfinished work: asked of the store, never of a timer.

use std::sync::Arc;
use std::time::Duration;

use domain::{EndCause, State};
use store::{Due, Guard, StoreError, Stored};
use targets::claim::Claim;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{Engine, Refusal};

/// How many grants are claimed at once.
const BATCH: u32 = 64;
/// How many may be under way at once. Each account's own gate keeps those of a dead one short.
const AT_ONCE: usize = 1024;
/// Nobody was heard while the database took this long to answer, or this broker to wake up.
const LONG: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes a batch of what is due and finishes it. Says how many grants that were: as many as fit into a
    /// batch means that more may be waiting.
    pub async fn sweep(self: &Arc<Self>) -> Result<usize, Refusal> {
        let (claimed, claim) = self.claim().await?;
        let count = claimed.len();
        let mut work = JoinSet::new();
        for stored in claimed {
            work.spawn(Arc::clone(self).finish_or_say_why(stored, claim.clone()));
        }
        while work.join_next().await.is_some() {}
        Ok(count)
    }

    async fn claim(&self) -> Result<(Vec<Stored>, Claim), Refusal> {
        let now = self.clock.now();
        let claimed_until = now.plus(self.settings.get().claim);
        let due = Due { now, ready_since: self.hearing.began(), claimed_until, limit: BATCH };
        let asked = Instant::now();
        let claimed = self.store.claim_due(due).await;
        let away = matches!(&claimed, Err(StoreError::Unavailable(_)));
        if away || asked.elapsed() > LONG {
            self.hearing.was_deaf(self.clock.now());
        }
        Ok((claimed?, self.claim_until(claimed_until)))
    }

    async fn finish_or_say_why(self: Arc<Self>, stored: Stored, claim: Claim) {
        let id = stored.grant.id.clone();
        if let Err(error) = self.finish(stored, &claim).await {
            self.counters.worker_errors();
            // The claim lapses, and then it is due again.
            let cause = error.cause.as_deref().unwrap_or_default();
            tracing::error!(grant = %id, %error, cause, "due work failed and will be tried again");
        }
    }

    async fn finish(&self, stored: Stored, claim: &Claim) -> Result<(), Refusal> {
        let now = self.clock.now();
        match &stored.grant.state {
            State::Applying { .. } => {
                self.end(stored, &EndCause::Abandoned, Guard::Version).await?;
            }
            State::Active { .. } if now >= stored.grant.expires_at => {
                self.end(stored, &EndCause::Deadline, Guard::Version).await?;
            }
            // It was claimed before it was known that its holder could not be heard; the claim lapses.
            State::Active { .. } if !self.is_lost(&stored) => {}
            State::Active { .. } => {
                self.end(stored, &EndCause::LeaseLost, Guard::VersionAndSilence).await?;
            }
            State::RollingBack { .. }
            | State::Ending(_) => {
                self.take_back(stored, claim).await?;
            }
            State::Failed { .. } | State::Revoked { .. } => self.sweep_up(stored, claim).await?,
            State::Denied { .. } => {}
        }
        Ok(())
    }

    fn is_lost(&self, stored: &Stored) -> bool {
        let ready_since = self.hearing.began();
        stored.lease.is_none_or(|lease| lease.lost_at(ready_since) <= self.clock.now())
    }

    /// What has to be done now and then: keys, what can be forgotten, grants of agents that were switched off.
    pub async fn housekeeping(&self) -> Result<(), Refusal> {
        self.tend_signing_keys().await?;
        self.end_grants_of_disabled().await?;
        Ok(self.store.forget(self.clock.now()).await?)
    }

    /// Sweeps, keeps house and compares until it is told to [stop](Self::stop_working). Dropping the future stops it
    /// between two awaits; what was claimed is due again when the claim lapses.
    pub async fn work(self: Arc<Self>, every: Duration) {
        // In this order, and not by lot: a run of the simulation is played again step by step.
        tokio::select! {
            biased;
            () = Arc::clone(&self).sweep_until_stopped(every) => {}
            () = self.reconcile_now_and_then() => {}
        }
    }

    /// Nothing more is claimed from now on. What was is finished, and then [`Self::work`] is over.
    pub fn stop_working(&self) {
        self.stopping.send_replace(true);
    }

    /// What one target does not answer keeps nothing else waiting: what is claimed is begun, and not waited for.
    async fn sweep_until_stopped(self: Arc<Self>, every: Duration) {
        let going = self.pulse.begin();
        let mut stopping = self.stopping.subscribe();
        let house_every = Duration::from_secs(30);
        let mut next_house = self.clock.now();
        let mut under_way = JoinSet::new();
        while !*stopping.borrow_and_update() {
            going.round();
            while under_way.try_join_next().is_some() {}
            while under_way.len() >= AT_ONCE {
                under_way.join_next().await;
            }
            let busy = match self.claim().await {
                Ok((claimed, claim)) => {
                    let busy = claimed.len() >= BATCH as usize;
                    for stored in claimed {
                        under_way.spawn(Arc::clone(&self).finish_or_say_why(stored, claim.clone()));
                    }
                    busy
                }
                Err(error) => {
                    self.counters.worker_errors();
                    tracing::error!(%error, cause = error.cause.as_deref(), "cannot look for due work");
                    false
                }
            };
            if self.clock.now() >= next_house {
                next_house = self.clock.now().plus(house_every);
                if let Err(error) = self.housekeeping().await {
                    tracing::error!(%error, cause = error.cause.as_deref(), "housekeeping failed");
                }
            }
            if !busy {
                let asleep = Instant::now();
                tokio::select! {
                    biased;
                    _ = stopping.changed() => {}
                    () = tokio::time::sleep(every) => {}
                }
                // This process was stopped, or its machine.
                if asleep.elapsed() > every + LONG {
                    self.hearing.was_deaf(self.clock.now());
                }
            }
        }
        while under_way.join_next().await.is_some() {}
    }
}
