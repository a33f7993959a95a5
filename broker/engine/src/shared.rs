//! How do several grants share one object at a target? As a set: the object is there while any live grant needs it.
//!
//! Whoever changes the object holds it in the store, so that "nobody else needs it" stays true until it is taken
//! away. Before the first change it is looked whether the object was there before us: what is foreign stays.

use std::time::Duration;

use domain::{Grant, Step};
use protocol::Timestamp;
use store::{Hold, StoreError, Stored, Then, Whose};
use targets::{Fault, LateChanges, Target, TargetError, Undone};
use tracing::Instrument;

use crate::{Engine, spans};

/// No call takes longer: what is begun with less than this left of a hold might arrive after it.
pub(crate) const CALL: Duration = Duration::from_secs(8);
/// How long to wait for whoever holds the object.
const PATIENCE: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(50);

impl Engine {
    /// Makes sure that the object is there.
    pub(crate) async fn give_shared(
        &self,
        stored: &Stored,
        step: &Step,
        target: &dyn Target,
    ) -> Result<String, TargetError> {
        let grant = &stored.grant;
        let hold = self.hold(step).await?;
        let whose = match self.whose(&hold, stored, step, target).await {
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
        if whose != hold.whose {
            self.note(&hold, whose, Then::Keep).await?;
        }
        // Looked at while the object is held: whoever ends the grant from here on takes it back after this.
        let may = match self.in_time(&hold) {
            Ok(()) => self.claim_lasts(stored).await,
            Err(error) => Err(error),
        };
        let applied = match may {
            Ok(()) => {
                let applying = target.apply(grant, step, self.clock.now());
                applying.instrument(spans::target("target: give", target.kind())).await
            }
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
            // Taken away before this grant was asked for, and whoever puts it there writes that down first.
            Whose::Ours { until: Some(until) } if until < grant.requested_at => {
                Some(format!("{} was not touched", step.object))
            }
            Whose::Ours { .. } => None,
        };
        if let Some(proof) = stays {
            // Whoever needs it answers from here on for what of ours may have landed.
            let whose = match hold.whose {
                Whose::Ours { .. } if others > 0 => Whose::Ours { until: None },
                Whose::Ours { .. } | Whose::Unknown | Whose::Foreign => hold.whose,
            };
            self.note(&hold, whose, Then::Release).await?;
            return Ok(Undone::gone(proof));
        }
        let (undone, may_go_until) = match (self.in_time(&hold), what) {
            (Err(error), _) => (Err(error), hold.may_go_until),
            (Ok(()), TakingBack::Look) => {
                (target.look(grant, step, self.clock.now()).await, hold.may_go_until)
            }
            (Ok(()), TakingBack::Undo) => self.undo_held(&hold, grant, step, target).await?,
        };
        let whose = match &undone {
            Ok(Undone::Gone { .. }) => Whose::Ours { until: Some(self.last_write_lands(grant, target)) },
            Ok(Undone::Accepted { .. }) => Whose::Ours { until: None },
            // Nothing was learnt: what was gone before is not there again.
            Err(_) => hold.whose,
        };
        self.note_going(&hold, whose, may_go_until, Then::Release).await?;
        undone
    }

    /// Until its answer is there, a call may take the object away at any moment, and that is in the store: this broker
    /// can die, and its call land all the same. Nobody puts the object there meanwhile. Says as well until when it may
    /// go now.
    async fn undo_held(
        &self,
        hold: &Hold,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
    ) -> Result<(Result<Undone, TargetError>, Option<Timestamp>), TargetError> {
        let may_go_until = match target.late_changes() {
            // What is begun in time is lost by the end of the hold at the latest.
            LateChanges::Possible { within } => hold.may_go_until.max(Some(hold.until.plus(within))),
            LateChanges::Impossible => hold.may_go_until,
        };
        self.note_going(hold, hold.whose, may_go_until, Then::Keep).await?;
        // Looked at again: who slept while it wrote that down may find the object given to somebody else.
        if let Err(error) = self.in_time(hold) {
            return Ok((Err(error), hold.may_go_until));
        }
        let undoing = target.undo(grant, step, self.clock.now());
        let undone = undoing.instrument(spans::target("target: take back", target.kind())).await;
        let unanswered = matches!(undone, Err(TargetError { fault: Fault::Unknown, .. }));
        Ok((undone, if unanswered { may_go_until } else { hold.may_go_until }))
    }

    async fn hold(&self, step: &Step) -> Result<Hold, TargetError> {
        let give_up_at = tokio::time::Instant::now() + PATIENCE;
        loop {
            let now = self.clock.now();
            let until = now.plus(self.settings.get().claim);
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
        stored: &Stored,
        step: &Step,
        target: &dyn Target,
    ) -> Result<Whose, TargetError> {
        let grant = &stored.grant;
        let now = self.clock.now();
        if let Some(until) = hold.may_go_until.filter(|until| now < *until) {
            let what = format!(
                "{} was to be taken away, and no answer came: it may still go until {until}",
                step.object
            );
            return Err(TargetError { what, fault: Fault::Busy { retry_after: until.since(now) } });
        }
        match hold.whose {
            Whose::Ours { until: None } => return Ok(Whose::Ours { until: None }),
            Whose::Ours { until: Some(until) } if now < until => return Ok(Whose::Ours { until: None }),
            // What landed late stays there until somebody looks: those who are to look have not all done so.
            Whose::Ours { until: Some(_) }
                if self.store.being_taken_back(&step.object, &grant.id).await.map_err(unavailable)? > 0 =>
            {
                return Ok(Whose::Ours { until: None });
            }
            // Its owner may have taken it away since, and who else is about to need it may not have looked either.
            Whose::Foreign | Whose::Ours { until: Some(_) } | Whose::Unknown => {}
        }
        // A try whose grant has ended meanwhile would take what it made itself, and what landed late, for foreign.
        if grant.late_until.is_some() {
            self.claim_lasts(stored).await?;
        }
        Ok(match target.look(grant, step, self.clock.now()).await? {
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
        self.note_going(hold, whose, hold.may_go_until, then).await
    }

    async fn note_going(
        &self,
        hold: &Hold,
        whose: Whose,
        may_go_until: Option<Timestamp>,
        then: Then,
    ) -> Result<(), TargetError> {
        if self.store.note_shared(hold, whose, may_go_until, then).await.map_err(unavailable)? {
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

pub(crate) fn unavailable(error: StoreError) -> TargetError {
    tracing::error!(%error, "the store cannot be asked before a step is done");
    TargetError {
        what: "the broker's database is not available".to_owned(),
        fault: Fault::Busy { retry_after: Duration::from_secs(1) },
    }
}
