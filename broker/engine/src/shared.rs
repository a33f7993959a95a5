//! How do several grants share one object at a target? As a set: the object is there while any live grant needs it.
//!
//! Whoever changes the object holds it in the store, so that "nobody else needs it" stays true until it is taken
//! away. Before the first change it is looked whether the object was there before us: what is foreign stays.

use std::time::Duration;

use domain::{Grant, Step};
use protocol::Timestamp;
use store::{Hold, StoreError, Then, Whose};
use targets::{Fault, LateChanges, Target, TargetError, Undone};

use crate::Engine;

/// No call takes longer: what is begun with less than this left of a hold might arrive after it.
pub(crate) const CALL: Duration = Duration::from_secs(8);
/// How long to wait for whoever holds the object.
const PATIENCE: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(50);

impl Engine {
    /// Makes sure that the object is there.
    pub(crate) async fn give_shared(
        &self,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
    ) -> Result<String, TargetError> {
        let hold = self.hold(step).await?;
        let whose = match self.whose(&hold, grant, step, target).await {
            Ok(whose) => whose,
            Err(error) => {
                self.note(&hold, hold.whose, Then::Release).await?;
                return Err(error);
            }
        };
        if whose == Whose::Foreign {
            self.note(&hold, whose, Then::Release).await?;
            return Ok(format!("{} was there before · left as it is", step.object));
        }
        self.note(&hold, whose, Then::Keep).await?;
        let applied = match self.in_time(&hold).and_then(|()| self.claim_lasts(grant)) {
            Ok(()) => target.apply(grant, step, self.clock.now()).await,
            Err(error) => Err(error),
        };
        self.note(&hold, whose, Then::Release).await?;
        applied
    }

    /// Makes sure that the object is gone, unless somebody else needs it.
    pub(crate) async fn take_shared_back(
        &self,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
        what: TakingBack,
    ) -> Result<Undone, TargetError> {
        let hold = self.hold(step).await?;
        let others = self.store.shared_with(&step.object, &grant.id).await.map_err(unavailable)?;
        let stays = match hold.whose {
            _ if others > 0 => Some(format!("{others} other grants need it · it stays for them")),
            Whose::Foreign => Some(format!("{} was there before · it stays", step.object)),
            // Whoever was to put it there did not come to that.
            Whose::Unknown => Some(format!("{} was not touched", step.object)),
            Whose::Ours { .. } => None,
        };
        if let Some(proof) = stays {
            self.note(&hold, hold.whose, Then::Release).await?;
            return Ok(Undone::gone(proof));
        }
        let now = self.clock.now();
        let undone = match (self.in_time(&hold), what) {
            (Err(error), _) => Err(error),
            (Ok(()), TakingBack::Undo) => target.undo(grant, step, now).await,
            (Ok(()), TakingBack::Look) => target.look(grant, step, now).await,
        };
        let whose = match &undone {
            Ok(Undone::Gone { .. }) => Whose::Ours { until: Some(self.last_write_lands(grant, target)) },
            Ok(Undone::Accepted { .. }) | Err(_) => Whose::Ours { until: None },
        };
        let then = match &undone {
            // It may be taken away yet: nobody is to put it there before that can have happened. The hold lapses.
            Err(TargetError { fault: Fault::Unknown, .. }) => Then::Keep,
            Ok(_) | Err(_) => Then::Release,
        };
        self.note(&hold, whose, then).await?;
        undone
    }

    async fn hold(&self, step: &Step) -> Result<Hold, TargetError> {
        let give_up_at = tokio::time::Instant::now() + PATIENCE;
        loop {
            let now = self.clock.now();
            let until = now.plus(self.settings.claim);
            let held = self.store.hold_shared(&step.object, now, until).await.map_err(unavailable)?;
            if let Some(hold) = held {
                return Ok(hold);
            }
            if tokio::time::Instant::now() >= give_up_at {
                return Err(TargetError {
                    what: format!("{} is being changed for another grant", step.object),
                    fault: Fault::Busy { retry_after: Duration::from_secs(1) },
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn whose(
        &self,
        hold: &Hold,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
    ) -> Result<Whose, TargetError> {
        let now = self.clock.now();
        match hold.whose {
            Whose::Ours { until: None } => return Ok(Whose::Ours { until: None }),
            Whose::Ours { until: Some(until) } if now < until => return Ok(Whose::Ours { until: None }),
            Whose::Foreign => {
                // What others rely on is there; whether it still is when nobody does has to be looked at.
                if self.store.shared_with(&step.object, &grant.id).await.map_err(unavailable)? > 0 {
                    return Ok(Whose::Foreign);
                }
            }
            Whose::Ours { until: Some(_) } | Whose::Unknown => {}
        }
        Ok(match target.look(grant, step, now).await? {
            Undone::Gone { .. } => Whose::Ours { until: None },
            Undone::Accepted { .. } => Whose::Foreign,
        })
    }

    /// A holder that slept must not change what is somebody else's to change by now.
    fn in_time(&self, hold: &Hold) -> Result<(), TargetError> {
        if self.clock.now().plus(CALL) < hold.until {
            return Ok(());
        }
        Err(TargetError {
            what: format!("{} was held for too long", hold.object),
            fault: Fault::Busy { retry_after: Duration::from_secs(1) },
        })
    }

    async fn note(&self, hold: &Hold, whose: Whose, then: Then) -> Result<(), TargetError> {
        if self.store.note_shared(hold, whose, then).await.map_err(unavailable)? {
            return Ok(());
        }
        Err(TargetError {
            what: format!("{} was taken over for another grant", hold.object),
            fault: Fault::Busy { retry_after: Duration::from_secs(1) },
        })
    }

    /// Until when what is seen may be a write of ours that was lost on its way.
    fn last_write_lands(&self, grant: &Grant, target: &dyn Target) -> Timestamp {
        let never_acknowledged = grant.granted_at().is_none();
        match target.late_changes() {
            LateChanges::Possible { within } if never_acknowledged => self.clock.now().plus(within),
            LateChanges::Possible { .. } | LateChanges::Impossible => {
                self.clock.now().max(grant.late_until.unwrap_or(grant.requested_at))
            }
        }
    }
}

/// Which way a grant is being taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakingBack {
    /// It is to go.
    Undo,
    /// It is to be gone.
    Look,
}

fn unavailable(error: StoreError) -> TargetError {
    tracing::error!(%error, "a shared object cannot be held");
    TargetError {
        what: "the broker's database is not available".to_owned(),
        fault: Fault::Busy { retry_after: Duration::from_secs(1) },
    }
}
