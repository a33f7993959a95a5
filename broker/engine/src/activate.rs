//! How does a grant that was accepted become active, whoever else is at it?
//!
//! A retry of the same request may find the first try unfinished, and goes on with it; a revoke may come in between.
//! Whoever changes the grant first counts, and what the other one has done since is taken back.

use std::time::Duration;

use domain::grant::WrongState;
use domain::{EndCause, State};
use policy::Permit;
use protocol::{Credentials, ErrorCode, GrantId, Timestamp};
use store::{Guard, Saved, SavedAndReleased, Stored};
use targets::Target;
use tracing::Instrument;

use crate::elevate::Elevated;
use crate::give::Given;
use crate::{Engine, Refusal, spans, view};

/// Between two looks at what somebody else makes of the same grant.
const OVERTAKEN_PAUSE: Duration = Duration::from_millis(100);

impl Engine {
    /// Changes the target, then says so. Runs for a new grant, and again for a retry that finds the first try
    /// unfinished: every step can be done twice.
    pub(crate) async fn apply(
        &self,
        stored: Stored,
        permit: &Permit,
        target: &dyn Target,
        claimed_at: Timestamp,
    ) -> Result<Elevated, Refusal> {
        let (mut stored, mut seen) = (stored, Some(claimed_at));
        loop {
            let (given, receipts, held) = match self.give(stored, permit, target, seen).await? {
                Given::Done { stored, receipts, held } => (stored, receipts, held),
                Given::Failed { stored, error } => {
                    return Err(self.undo_failed_apply(stored, &error.what).await);
                }
                Given::Overtaken { id } => return self.overtaken(&id, permit, target).await,
            };
            // Made before the grant is active: what takes it back from then on takes back these as well.
            let credentials = match target.credentials(permit, &given.grant, self.clock.now()).await {
                Ok(credentials) => credentials,
                Err(error) => {
                    self.let_go_after_all(held).await;
                    return Err(self.undo_failed_apply(given, &error.what).await);
                }
            };
            let now = self.clock.now();
            let active = match given.grant.clone().activate(now, &receipts) {
                Ok(moved) => moved,
                Err(WrongState { grant, .. }) => {
                    self.let_go_after_all(held).await;
                    return Err(match now >= grant.expires_at {
                        true => self.undo_failed_apply(given, "the deadline came first").await,
                        false => Refusal::grant_ended(grant.end_reason()),
                    });
                }
            };
            let saving = self.save_and_let_go(&given, &active, Guard::Version, held.as_ref());
            match saving.instrument(spans::store("store: activate grant")).await? {
                SavedAndReleased::Done(stored) => {
                    self.counters.grants_activated();
                    self.just_given.remember(&stored);
                    return Ok(elevated(&stored, credentials));
                }
                SavedAndReleased::Conflict => return self.overtaken(&given.grant.id, permit, target).await,
                // Slept for so long that somebody else had it since: it is given again, if there is time for that.
                SavedAndReleased::NotHeld => (stored, seen) = (given, None),
            }
        }
    }

    /// A retry of the same request, or a revoke, was faster. Whatever it makes of the grant counts.
    async fn overtaken(
        &self,
        id: &GrantId,
        permit: &Permit,
        target: &dyn Target,
    ) -> Result<Elevated, Refusal> {
        let mut claim = self.claim_from(self.clock.now());
        let mut stored = self.store.grant(id).await?.ok_or_else(Refusal::no_such_grant)?;
        while matches!(stored.grant.state, State::Applying { claimed_until } if self.clock.now() < claimed_until)
        {
            tokio::time::sleep(OVERTAKEN_PAUSE).await;
            claim = self.claim_from(self.clock.now());
            stored = self.store.grant(id).await?.ok_or_else(Refusal::no_such_grant)?;
        }
        if matches!(stored.grant.state, State::Active { .. }) {
            return self.answer(&stored, permit, target).await;
        }
        let ended = Refusal::grant_ended(stored.grant.end_reason());
        // Somebody undid it while we were still at it: what we did since has to go as well. If this fails, the
        // worker does it when our claim has lapsed.
        match self.take_back(stored, &claim).await {
            Ok(_) => Err(ended),
            Err(error) => Err(ended.because(error)),
        }
    }

    /// A retry: gives the same grant again if it is still there to give.
    pub(crate) async fn join(
        &self,
        stored: Stored,
        permit: &Permit,
        target: &dyn Target,
    ) -> Result<Elevated, Refusal> {
        self.counters.elevations_deduplicated();
        let now = self.clock.now();
        match &stored.grant.state {
            // Whoever was at it has been cut off, or is about to be overtaken: the claim is ours from now on.
            State::Applying { .. } => match self.claim_again(stored).await? {
                Ok(stored) => self.apply(stored, permit, target, now).await,
                Err(id) => self.overtaken(&id, permit, target).await,
            },
            State::Active { .. } if now < stored.grant.expires_at => {
                self.store.add_retry(&stored.grant.id, now).await?;
                self.answer(&stored, permit, target).await
            }
            State::Active { .. }
            | State::Denied { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Ending(_)
            | State::Revoked { .. } => Err(Refusal::grant_ended(stored.grant.end_reason())),
        }
    }

    async fn claim_again(&self, stored: Stored) -> Result<Result<Stored, GrantId>, Refusal> {
        let id = stored.grant.id.clone();
        let claimed_until = self.clock.now().plus(self.settings.get().claim);
        // Whoever has the claim now may be only slow: what it has begun can land as long as its claim allows.
        let before = self.with_its_claim(stored.grant.clone(), &EndCause::Abandoned);
        let Ok(moved) = before.claimed(claimed_until) else { return Ok(Err(id)) };
        Ok(match self.store.save(&stored, &moved, Guard::Version).await? {
            Saved::Done(stored) => Ok(stored),
            Saved::Conflict => Err(id),
        })
    }

    pub(crate) async fn answer(
        &self,
        stored: &Stored,
        permit: &Permit,
        target: &dyn Target,
    ) -> Result<Elevated, Refusal> {
        let credentials = self.make_credentials(stored, permit, target).await?;
        if matches!(credentials, Credentials::Held) {
            return Ok(elevated(stored, credentials));
        }
        // Looked at after they were made: what takes the grant back from here on takes back these as well.
        let id = &stored.grant.id;
        let stored = self.store.grant(id).await?.ok_or_else(Refusal::no_such_grant)?;
        if !matches!(stored.grant.state, State::Active { .. }) {
            return Err(Refusal::grant_ended(stored.grant.end_reason()));
        }
        Ok(elevated(&stored, credentials))
    }

    pub(crate) async fn make_credentials(
        &self,
        stored: &Stored,
        permit: &Permit,
        target: &dyn Target,
    ) -> Result<Credentials, Refusal> {
        let made = target.credentials(permit, &stored.grant, self.clock.now()).await;
        made.map_err(|error| target_failed(&error.what))
    }

    async fn undo_failed_apply(&self, stored: Stored, what: &str) -> Refusal {
        let refusal = target_failed(what).hint("what had been done is being undone; try again");
        let cause = EndCause::TargetFailed(what.to_owned());
        match self.end(stored, &cause, Guard::Version).await {
            Ok(there) if matches!(there.grant.state, State::Applying { .. } | State::Active { .. }) => {
                target_failed(what).hint("another try of the same request goes on: ask again with its key")
            }
            Ok(_) => refusal,
            // The claim on the grant lapses, and the worker undoes it then.
            Err(error) => refusal.because(error),
        }
    }
}

pub(crate) fn target_failed(what: &str) -> Refusal {
    Refusal::new(ErrorCode::TargetFailed, format!("the target failed: {what}"))
}

pub(crate) fn elevated(stored: &Stored, credentials: Credentials) -> Elevated {
    let mut grant = view::grant(stored);
    grant.credentials = Some(credentials);
    Elevated { grant }
}
