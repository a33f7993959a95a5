//! Ending a grant and taking back what it gave: the same way whoever asks for it.

use std::sync::Arc;
use std::time::Duration;

use domain::grant::{Moved, WrongState};
use domain::{EndCause, Grant, State, TargetKind};
use protocol::Timestamp;
use store::{Guard, Release, Saved, SavedAndReleased, Stored};
use targets::LateWrites;
use targets::claim::Claim;

use crate::shared::{Next, taken_over};
use crate::undo::{LONGEST_PAUSE, attempts, pause};
use crate::{Engine, Refusal};

impl Engine {
    /// Writes down that the grant ends, then takes back. A grant that ends or has ended already is left to
    /// whoever ended it, and given back as it stands.
    pub(crate) async fn end(
        &self,
        stored: Stored,
        cause: &EndCause,
        guard: Guard,
    ) -> Result<Stored, Refusal> {
        let mut current = stored;
        loop {
            // Before the change, and before the grant is read again: the claim must not count from a time at which
            // another driver may have found the grant gone.
            let claim = self.claim_from(self.clock.now());
            let ending = self.with_its_claim(current.grant.clone(), cause);
            let moved = match ending.end(self.clock.now(), cause.clone()) {
                Ok(moved) => moved,
                Err(WrongState { .. }) => return Ok(current),
            };
            let moved = match self.late_writes(current.grant.target) {
                LateWrites::Possible { .. } => moved,
                // All that there is to take back is in the broker: its end and its being gone are one change.
                LateWrites::Impossible => match self.undo(&moved.grant, Next::More, &claim).await? {
                    Some((undone, _)) => moved.then(undone),
                    None => moved,
                },
            };
            match self.store.save(&current, &moved, guard).await? {
                Saved::Done(stored) => {
                    match cause {
                        EndCause::LeaseLost => self.counters.leases_lost(),
                        EndCause::Deadline => self.counters.grants_expired(),
                        EndCause::Client(_)
                        | EndCause::AgentDisabled
                        | EndCause::Operator
                        | EndCause::Abandoned
                        | EndCause::TargetFailed(_) => {}
                    }
                    self.count_if_gone(&stored);
                    return self.take_back(stored, &claim).await;
                }
                Saved::Conflict => {
                    let id = &current.grant.id;
                    let read = self.store.grant(id).await?.ok_or_else(Refusal::no_such_grant)?;
                    // The holder was heard in between: it is not silent, whatever was read before.
                    if guard == Guard::VersionAndSilence {
                        return Ok(read);
                    }
                    // Somebody goes on with it after all, or has ended it.
                    if *cause == EndCause::Abandoned {
                        return Ok(read);
                    }
                    // A try that failed ends nothing that another one goes on with, or has given. If it was ended
                    // meanwhile, what the try has done since has to go as well.
                    if matches!(cause, EndCause::TargetFailed(_)) {
                        return self.take_back(read, &claim).await;
                    }
                    current = read;
                }
            }
        }
    }

    /// Undoes every step and writes down how far that came. Whoever changes the grant first wins; the other
    /// finds nothing left to do.
    /// `claim` counts from before the grant was read.
    pub(crate) async fn take_back(&self, stored: Stored, claim: &Claim) -> Result<Stored, Refusal> {
        let undone = self.undo(&stored.grant, Next::Change, claim).await?;
        let Some((moved, held)) = undone else { return Ok(stored) };
        let saved = match self.save_and_let_go(&stored, &moved, Guard::Version, held.as_ref()).await? {
            // Slept for so long that somebody else had it since: what was done then is not known.
            SavedAndReleased::NotHeld => {
                let what = held.map(|release| taken_over(&release.hold).what).unwrap_or_default();
                let now = self.clock.now();
                let retry_at = now.plus(pause(attempts(&stored.grant.state)));
                let Ok(failed) = stored.grant.clone().undo_failed(now, &what, retry_at) else {
                    return Ok(stored);
                };
                self.counters.revert_failures();
                self.save_and_let_go(&stored, &failed, Guard::Version, None).await?
            }
            saved @ (SavedAndReleased::Done(_) | SavedAndReleased::Conflict) => saved,
        };
        match saved {
            SavedAndReleased::Done(stored) => {
                self.count_if_gone(&stored);
                Ok(stored)
            }
            SavedAndReleased::Conflict | SavedAndReleased::NotHeld => {
                self.store.grant(&stored.grant.id).await?.ok_or_else(Refusal::no_such_grant)
            }
        }
    }

    /// A change, and with it what is held for it is let go.
    pub(crate) async fn save_and_let_go(
        &self,
        before: &Stored,
        moved: &Moved,
        guard: Guard,
        held: Option<&Release>,
    ) -> Result<SavedAndReleased, Refusal> {
        Ok(match held {
            Some(release) => self.store.save_and_release(before, moved, guard, release).await?,
            None => match self.store.save(before, moved, guard).await? {
                Saved::Done(stored) => SavedAndReleased::Done(stored),
                Saved::Conflict => SavedAndReleased::Conflict,
            },
        })
    }

    fn count_if_gone(&self, stored: &Stored) {
        match stored.grant.state {
            State::Revoked { .. } => self.counters.grants_revoked(),
            State::Failed { .. } => self.counters.grants_failed(),
            State::Denied { .. }
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Active { .. }
            | State::Ending(_) => {}
        }
    }

    /// Whether the grant's target can still change after its undo. One that is not set up is treated like one
    /// that can.
    fn late_writes(&self, kind: TargetKind) -> LateWrites {
        self.target(kind)
            .map_or(LateWrites::Possible { within: Duration::ZERO }, |target| target.late_writes())
    }

    /// Whoever has the claim is cut off by the end, and may go on for as long as the claim lasts. A retry has moved
    /// that on from where the request began.
    pub(crate) fn with_its_claim(&self, grant: Grant, cause: &EndCause) -> Grant {
        match (&grant.state, cause, self.late_writes(grant.target)) {
            (_, EndCause::TargetFailed(_), _) | (_, _, LateWrites::Impossible) => grant,
            (State::Applying { claimed_until }, _, LateWrites::Possible { within }) => {
                let until = claimed_until.plus(within);
                grant.unsure(until)
            }
            (
                State::Denied { .. }
                | State::RollingBack { .. }
                | State::Failed { .. }
                | State::Active { .. }
                | State::Ending(_)
                | State::Revoked { .. },
                _,
                LateWrites::Possible { .. },
            ) => grant,
        }
    }

    /// The claim of a driver that reads a grant to take it back, and reads it at `began` at the earliest.
    pub(crate) fn claim_from(&self, began: Timestamp) -> Claim {
        self.claim_until(began.plus(self.settings.get().claim))
    }

    pub(crate) fn claim_until(&self, ends: Timestamp) -> Claim {
        let clock = Arc::clone(&self.clock);
        Claim::until(ends, move || clock.now())
    }

    /// Takes away what kept an ended grant's sessions dead.
    pub(crate) async fn sweep_up(&self, stored: Stored, claim: &Claim) -> Result<(), Refusal> {
        let target = self.target(stored.grant.target)?;
        let now = self.clock.now();
        let mut texts = Vec::new();
        let mut again_at = None;
        for step in &stored.grant.steps {
            match target.remove_session_deny(&stored.grant, step, now, claim).await {
                Ok(text) => texts.extend(text),
                Err(error) => {
                    tracing::warn!(grant = %stored.grant.id, %error, "what kept dead sessions dead stays");
                    again_at = Some(now.plus(LONGEST_PAUSE));
                }
            }
        }
        let text = (!texts.is_empty()).then(|| texts.join(" · "));
        if let Ok(moved) = stored.grant.clone().swept(now, again_at, text.as_deref()) {
            self.store.save(&stored, &moved, Guard::Version).await?;
        }
        Ok(())
    }
}
