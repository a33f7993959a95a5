//! RollingBack what a grant gave: every step, or a look whether it is gone.

use std::time::Duration;

use domain::grant::Moved;
use domain::{EndCause, Grant, Phase, State, Step};
use futures_util::future::join_all;
use protocol::Timestamp;
use store::Release;
use targets::claim::Claim;
use targets::{LateWrites, Removal, Target, TargetError};
use tracing::Instrument;

use crate::shared::{Next, TakingBack};
use crate::{Engine, Refusal, spans, together};

/// The longest pause between two tries to take back.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Engine {
    /// Undoes every step, last first, and at once what was done at once. Nothing if there is nothing to undo, or not
    /// yet. What the last of them shares is held until the change that comes of it, if that is `next`.
    pub(crate) async fn undo(
        &self,
        grant: &Grant,
        next: Next,
        claim: &Claim,
    ) -> Result<Option<(Moved, Option<Release>)>, Refusal> {
        let looking = match &grant.state {
            State::RollingBack { .. } => false,
            State::Ending(ending) => match ending.phase {
                // Too early a look proves nothing: clouds are eventually consistent.
                Phase::Verifying if self.clock.now() < ending.retry_at => return Ok(None),
                Phase::Verifying => true,
                Phase::Revoking | Phase::RevokeFailing | Phase::Expired => false,
            },
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
        let mut session_deny_until = None;
        let mut failed = None;
        let mut held = None;
        let what = if looking { TakingBack::Look } else { TakingBack::Undo };
        for group in together::groups(target.as_ref(), &grant.steps).into_iter().rev() {
            // What is still there when it is looked at is undone at once, and held for that once more. Of several none is
            // held until the others are undone.
            let next = if group == (0..1) && !looking { next } else { Next::More };
            let steps = grant.steps.get(group).unwrap_or_default().iter().rev();
            let undoing = steps.map(|step| self.undo_step(grant, step, target.as_ref(), what, next, claim));
            for undone in join_all(undoing).await {
                match undone {
                    Ok((Removal::Confirmed { proof, session_deny_until: swept_at }, kept)) => {
                        proofs.push(proof);
                        session_deny_until = session_deny_until.max(swept_at);
                        held = kept;
                    }
                    Ok((Removal::Pending { receipt, observe_at }, kept)) => {
                        proofs.push(receipt);
                        look_again = look_again.max(Some(observe_at));
                        held = kept;
                    }
                    Err(error) => failed = Some(error.what),
                }
            }
        }
        let now = self.clock.now();
        let tried = attempts(&grant.state);
        let never_active = matches!(grant.state, State::RollingBack { .. });
        let lands_until = self.written_until(grant, target.late_writes());
        let grant = grant.clone();
        let moved = match (&failed, look_again) {
            (Some(what), _) => {
                self.counters.revert_failures();
                grant.undo_failed(now, what, now.plus(pause(tried)))
            }
            // Looked at again and still not gone: as good as a failed try, so it is undone once more, and at once.
            (None, Some(observe_at)) if looking => {
                let Ok(failed) = grant.undo_failed(now, "still there", observe_at) else { return Ok(None) };
                return Ok(Some(match Box::pin(self.undo(&failed.grant, next, claim)).await? {
                    Some((undone, held)) => (failed.then(undone), held),
                    None => (failed, None),
                }));
            }
            (None, Some(observe_at)) if !never_active => {
                grant.settle(now, observe_at.max(lands_until), &proofs.join(" · "))
            }
            (None, Some(observe_at)) => grant.undo_again(observe_at.max(lands_until)),
            (None, None) if began < lands_until && never_active => grant.undo_again(lands_until),
            (None, None) if began < lands_until => grant.settle(now, lands_until, &proofs.join(" · ")),
            (None, None) => {
                let session_deny_until =
                    session_deny_until.map(|at| at.max(self.last_undo_lands(now, target.late_writes())));
                grant.gone(now, &proofs.join(" · "), session_deny_until)
            }
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
        claim: &Claim,
    ) -> Result<(Removal, Option<Release>), TargetError> {
        let now = self.clock.now();
        Ok(match what {
            _ if step.shared => return self.take_shared_back(grant, step, target, what, next, claim).await,
            TakingBack::Look => (target.observe(grant, step, now, claim).await?, None),
            TakingBack::Undo => {
                let undoing = target.revert(grant, step, now, claim);
                (undoing.instrument(spans::target("target: take back", target.kind())).await?, None)
            }
        })
    }

    /// When the last call of any driver that took the grant back has landed, if the grant is gone `now`: each of them
    /// read the grant before, and its claim counts from then.
    fn last_undo_lands(&self, now: Timestamp, late: LateWrites) -> Timestamp {
        match late {
            LateWrites::Impossible => now,
            LateWrites::Possible { within } => now.plus(self.settings.get().claim).plus(within),
        }
    }

    /// Until when something that was begun for this grant may still arrive at the target. Whoever failed there has
    /// stopped; whoever was cut off by the end of its own grant may go on for as long as its claim lasts.
    fn written_until(&self, grant: &Grant, late: LateWrites) -> Timestamp {
        let unanswered = grant.late_until.unwrap_or(grant.requested_at);
        match (&grant.state, late) {
            (_, LateWrites::Impossible) => grant.requested_at,
            (State::RollingBack { cause: EndCause::TargetFailed(_), .. }, _) => unanswered,
            (State::RollingBack { .. }, LateWrites::Possible { within }) => {
                unanswered.max(grant.requested_at.plus(self.settings.get().claim).plus(within))
            }
            (
                State::Denied { .. }
                | State::Applying { .. }
                | State::Failed { .. }
                | State::Active { .. }
                | State::Ending(_)
                | State::Revoked { .. },
                LateWrites::Possible { .. },
            ) => unanswered,
        }
    }
}

pub(crate) fn attempts(state: &State) -> u32 {
    match state {
        State::RollingBack { attempts, .. } => *attempts,
        State::Ending(ending) => ending.attempts,
        State::Denied { .. }
        | State::Applying { .. }
        | State::Failed { .. }
        | State::Active { .. }
        | State::Revoked { .. } => 0,
    }
}

/// 0.5 s, 1 s, 2 s, … up to a minute, for ever.
pub(crate) fn pause(attempts: u32) -> Duration {
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
