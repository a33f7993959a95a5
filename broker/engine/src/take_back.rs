//! Ending a grant and taking back what it gave: the same way whoever asks for it.

use std::time::Duration;

use domain::grant::{Moved, WrongState};
use domain::{EndCause, Grant, State, Step, TargetKind};
use futures_util::future::join_all;
use protocol::Timestamp;
use store::{Guard, Release, Saved, SavedAndReleased, Stored};
use targets::{LateChanges, Target, TargetError, Undone};
use tracing::Instrument;

use crate::shared::{Next, TakingBack, taken_over};
use crate::{Engine, Refusal, spans, together};

/// The longest pause between two tries to take back.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
            let ending = self.with_its_claim(current.grant.clone(), cause);
            let moved = match ending.end(self.clock.now(), cause.clone()) {
                Ok(moved) => moved,
                Err(WrongState { .. }) => return Ok(current),
            };
            let moved = match self.late_changes(current.grant.target) {
                LateChanges::Possible { .. } => moved,
                // All that there is to take back is in the broker: its end and its being gone are one change.
                LateChanges::Impossible => match self.undo(&moved.grant, Next::More).await? {
                    Some((undone, _)) => moved.then(undone),
                    None => moved,
                },
            };
            match self.store.save(&current, &moved, guard).await? {
                Saved::Done(stored) => {
                    match cause {
                        EndCause::LeaseLost => self.counters.leases_lost(),
                        EndCause::Deadline => self.counters.deadlines_reached(),
                        EndCause::Client(_)
                        | EndCause::AgentDisabled
                        | EndCause::Operator
                        | EndCause::NeverAcknowledged
                        | EndCause::TargetFailed(_) => {}
                    }
                    self.count_if_gone(&stored);
                    return self.take_back(stored).await;
                }
                Saved::Conflict => {
                    let id = &current.grant.id;
                    let read = self.store.grant(id).await?.ok_or_else(Refusal::no_such_grant)?;
                    // The holder was heard in between: it is not silent, whatever was read before.
                    if guard == Guard::VersionAndSilence {
                        return Ok(read);
                    }
                    // Somebody goes on with it after all, or has ended it.
                    if *cause == EndCause::NeverAcknowledged {
                        return Ok(read);
                    }
                    // A try that failed ends nothing that another one goes on with, or has given. If it was ended
                    // meanwhile, what the try has done since has to go as well.
                    if matches!(cause, EndCause::TargetFailed(_)) {
                        return self.take_back(read).await;
                    }
                    current = read;
                }
            }
        }
    }

    /// Undoes every step and writes down how far that came. Whoever changes the grant first wins; the other
    /// finds nothing left to do.
    pub(crate) async fn take_back(&self, stored: Stored) -> Result<Stored, Refusal> {
        let Some((moved, held)) = self.undo(&stored.grant, Next::Change).await? else { return Ok(stored) };
        let saved = match self.save_and_let_go(&stored, &moved, Guard::Version, held.as_ref()).await? {
            // Slept for so long that somebody else had it since: what was done then is not known.
            SavedAndReleased::NotHeld => {
                let what = held.map(|release| taken_over(&release.hold).what).unwrap_or_default();
                let now = self.clock.now();
                let retry_at = now.plus(pause(attempts(&stored.grant.state)));
                let Ok(failed) = stored.grant.clone().undo_failed(now, &what, retry_at) else {
                    return Ok(stored);
                };
                self.counters.undo_failures();
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

    /// Undoes every step, last first, and at once what was done at once. Nothing if there is nothing to undo, or not yet. What the last of them shares is
    /// held until the change that comes of it, if that is `next`.
    async fn undo(&self, grant: &Grant, next: Next) -> Result<Option<(Moved, Option<Release>)>, Refusal> {
        let looking = match &grant.state {
            State::Undoing { .. } | State::Revoking(_) | State::Stuck(_) | State::Expired(_) => false,
            // Too early a look proves nothing: clouds are eventually consistent.
            State::Settling(ending) if self.clock.now() < ending.retry_at => return Ok(None),
            State::Settling(_) => true,
            State::Denied { .. }
            | State::Applying { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Revoked { .. } => return Ok(None),
        };
        let target = self.target(grant.target)?;
        // What landed after a step was undone, while another was or while this broker slept, is not gone.
        let began = self.clock.now();
        let mut proofs = Vec::new();
        let mut look_again = None;
        let mut sweep_at = None;
        let mut failed = None;
        let mut held = None;
        let what = if looking { TakingBack::Look } else { TakingBack::Undo };
        for group in together::groups(target.as_ref(), &grant.steps).into_iter().rev() {
            // What is still there when it is looked at is undone at once, and held for that once more. Of several none is
            // held until the others are undone.
            let next = if group == (0..1) && !looking { next } else { Next::More };
            let steps = grant.steps.get(group).unwrap_or_default().iter().rev();
            let undoing = steps.map(|step| self.undo_step(grant, step, target.as_ref(), what, next));
            for undone in join_all(undoing).await {
                match undone {
                    Ok((Undone::Gone { proof, sweep_at: swept_at }, kept)) => {
                        proofs.push(proof);
                        sweep_at = sweep_at.max(swept_at);
                        held = kept;
                    }
                    Ok((Undone::Accepted { receipt, look_at }, kept)) => {
                        proofs.push(receipt);
                        look_again = look_again.max(Some(look_at));
                        held = kept;
                    }
                    Err(error) => failed = Some(error.what),
                }
            }
        }
        let now = self.clock.now();
        let tried = attempts(&grant.state);
        let never_active = matches!(grant.state, State::Undoing { .. });
        let lands_until = self.written_until(grant, target.late_changes());
        let grant = grant.clone();
        let moved = match (&failed, look_again) {
            (Some(what), _) => {
                self.counters.undo_failures();
                grant.undo_failed(now, what, now.plus(pause(tried)))
            }
            // Looked at again and still not gone: as good as a failed try, so it is undone once more, and at once.
            (None, Some(look_at)) if looking => {
                let Ok(failed) = grant.undo_failed(now, "still there", look_at) else { return Ok(None) };
                return Ok(Some(match Box::pin(self.undo(&failed.grant, next)).await? {
                    Some((undone, held)) => (failed.then(undone), held),
                    None => (failed, None),
                }));
            }
            (None, Some(look_at)) if !never_active => {
                grant.settle(now, look_at.max(lands_until), &proofs.join(" · "))
            }
            (None, Some(look_at)) => grant.undo_again(look_at.max(lands_until)),
            (None, None) if began < lands_until && never_active => grant.undo_again(lands_until),
            (None, None) if began < lands_until => grant.settle(now, lands_until, &proofs.join(" · ")),
            (None, None) => grant.gone(now, &proofs.join(" · "), sweep_at),
        };
        // The state was looked at above: it allows whichever of these was chosen.
        Ok(moved.ok().map(|moved| (moved, held)))
    }

    async fn undo_step(
        &self,
        grant: &Grant,
        step: &Step,
        target: &dyn Target,
        what: TakingBack,
        next: Next,
    ) -> Result<(Undone, Option<Release>), TargetError> {
        let now = self.clock.now();
        Ok(match what {
            _ if step.shared => return self.take_shared_back(grant, step, target, what, next).await,
            TakingBack::Look => (target.look(grant, step, now).await?, None),
            TakingBack::Undo => {
                let undoing = target.undo(grant, step, now);
                (undoing.instrument(spans::target("target: take back", target.kind())).await?, None)
            }
        })
    }

    fn count_if_gone(&self, stored: &Stored) {
        match stored.grant.state {
            State::Revoked { .. } => self.counters.grants_revoked(),
            State::Failed { .. } => self.counters.grants_failed(),
            State::Denied { .. }
            | State::Applying { .. }
            | State::Undoing { .. }
            | State::Active { .. }
            | State::Revoking(_)
            | State::Settling(_)
            | State::Stuck(_)
            | State::Expired(_) => {}
        }
    }

    /// Whether the grant's target can still change after its undo. One that is not set up is treated like one
    /// that can.
    fn late_changes(&self, kind: TargetKind) -> LateChanges {
        self.target(kind)
            .map_or(LateChanges::Possible { within: Duration::ZERO }, |target| target.late_changes())
    }

    /// Whoever has the claim is cut off by the end, and may go on for as long as the claim lasts. A retry has moved
    /// that on from where the request began.
    pub(crate) fn with_its_claim(&self, grant: Grant, cause: &EndCause) -> Grant {
        match (&grant.state, cause, self.late_changes(grant.target)) {
            (_, EndCause::TargetFailed(_), _) | (_, _, LateChanges::Impossible) => grant,
            (State::Applying { claimed_until }, _, LateChanges::Possible { within }) => {
                let until = claimed_until.plus(within);
                grant.unsure(until)
            }
            (
                State::Denied { .. }
                | State::Undoing { .. }
                | State::Failed { .. }
                | State::Active { .. }
                | State::Revoking(_)
                | State::Settling(_)
                | State::Stuck(_)
                | State::Expired(_)
                | State::Revoked { .. },
                _,
                LateChanges::Possible { .. },
            ) => grant,
        }
    }

    /// Until when something that was begun for this grant may still arrive at the target. Whoever failed there has
    /// stopped; whoever was cut off by the end of its own grant may go on for as long as its claim lasts.
    fn written_until(&self, grant: &Grant, late: LateChanges) -> Timestamp {
        let unanswered = grant.late_until.unwrap_or(grant.requested_at);
        match (&grant.state, late) {
            (_, LateChanges::Impossible) => grant.requested_at,
            (State::Undoing { cause: EndCause::TargetFailed(_), .. }, _) => unanswered,
            (State::Undoing { .. }, LateChanges::Possible { within }) => {
                unanswered.max(grant.requested_at.plus(self.settings.get().claim).plus(within))
            }
            (
                State::Denied { .. }
                | State::Applying { .. }
                | State::Failed { .. }
                | State::Active { .. }
                | State::Revoking(_)
                | State::Settling(_)
                | State::Stuck(_)
                | State::Expired(_)
                | State::Revoked { .. },
                LateChanges::Possible { .. },
            ) => unanswered,
        }
    }

    /// Takes away what kept an ended grant's sessions dead.
    pub(crate) async fn sweep_up(&self, stored: Stored) -> Result<(), Refusal> {
        let target = self.target(stored.grant.target)?;
        let now = self.clock.now();
        let mut texts = Vec::new();
        let mut again_at = None;
        for step in &stored.grant.steps {
            match target.sweep(&stored.grant, step, now).await {
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

fn attempts(state: &State) -> u32 {
    match state {
        State::Undoing { attempts, .. } => *attempts,
        State::Revoking(ending) | State::Settling(ending) | State::Stuck(ending) | State::Expired(ending) => {
            ending.attempts
        }
        State::Denied { .. }
        | State::Applying { .. }
        | State::Failed { .. }
        | State::Active { .. }
        | State::Revoked { .. } => 0,
    }
}

/// 0.5 s, 1 s, 2 s, … up to a minute, for ever.
fn pause(attempts: u32) -> Duration {
    Duration::from_millis(500).saturating_mul(1 << attempts.min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_to_a_minute_and_no_further() {
        assert_eq!(pause(0), Duration::from_millis(500));
        assert_eq!(pause(3), Duration::from_secs(4));
        assert_eq!(pause(1_000_000), LONGEST_PAUSE);
    }
}
