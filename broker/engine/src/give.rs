//! How are the steps of a grant done? Each is written down before it is done; what the target refuses for now is
//! tried again as long as the claim on the grant allows, with the reason on the timeline.

use std::time::Duration;

use domain::grant::Moved;
use domain::{Grant, NewEvent, State, Step};
use futures_util::future::join_all;
use policy::Permit;
use protocol::{EventKind, GrantId, Timestamp};
use store::{Guard, Release, Saved, Stored};
use targets::claim::Claim;
use targets::{Fault, LateWrites, Plan, Target, TargetError};
use tracing::Instrument;

use crate::shared::{CALL, Next, overtaken, unavailable};
use crate::{Engine, Refusal, spans, together};

/// For so long what was seen of a grant is taken for true. Who overtakes us meanwhile could as well do so while a call is
/// under way: then the grant does not become active, and what was done is taken back.
const SURE_FOR: Duration = Duration::from_secs(1);

/// What became of the steps.
pub(crate) enum Given {
    /// All are done; the receipts in words. What the last one shares is to be let go with the change that says so.
    Done { stored: Stored, receipts: String, held: Option<Release> },
    /// One could not be done.
    Failed { stored: Stored, error: TargetError },
    /// Somebody else changed the grant meanwhile.
    Overtaken { id: GrantId },
}

impl Engine {
    /// What is to be done, as the target says it; and the reasons why it had to be asked more than once.
    pub(crate) async fn planned(
        &self,
        target: &dyn Target,
        permit: &Permit,
        id: &GrantId,
        ends: Timestamp,
    ) -> Result<(Plan, Vec<NewEvent>), TargetError> {
        let mut patience = Patience::until(self.clock.now().plus(self.settings.get().claim / 3));
        let mut reasons = Vec::new();
        loop {
            match target.plan(permit, id, ends).await {
                Ok(plan) => return Ok((plan, reasons)),
                Err(error) => {
                    let pause = patience.pause(&error, self.clock.now()).ok_or_else(|| error.clone())?;
                    reasons.extend(patience.reason(&error, self.clock.now()));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Does every step: in order, and at once what need not wait. Doing one twice is doing it once. At `seen` the grant
    /// was known to be ours.
    pub(crate) async fn give(
        &self,
        mut stored: Stored,
        permit: &Permit,
        target: &dyn Target,
        mut seen: Option<Timestamp>,
    ) -> Result<Given, Refusal> {
        let mut patience = Patience::until(self.clock.now().plus(self.settings.get().claim * 2 / 3));
        let mut receipts = Vec::with_capacity(stored.grant.steps.len());
        let mut to_do: Vec<usize> = (0..stored.grant.steps.len()).collect();
        let mut held = None;
        while !to_do.is_empty() {
            let these = together::first(target, &stored.grant.steps, &to_do);
            // Of several none is held until the others are done, each of which may wait for a hold itself.
            let alone_and_last = to_do.len() == 1;
            let then = if alone_and_last { Next::Change } else { Next::More };
            let tried = self.do_these(&stored, &these, target, then, &mut seen).await;
            let mut errors = Vec::new();
            for (at, outcome) in tried {
                match outcome {
                    Ok((receipt, kept)) => {
                        to_do.retain(|other| *other != at);
                        receipts.push(receipt);
                        held = kept;
                    }
                    Err(error) => errors.push((at, error)),
                }
            }
            if !errors.is_empty() {
                seen = None;
            }
            // Also if another way is found for the step beside it.
            if errors.iter().any(|(_, error)| error.fault == Fault::Unknown) {
                stored.grant = self.unsure(stored.grant, target.late_writes());
            }
            if let Some((plan, error)) = self.another_way(&stored, permit, target, &errors).await {
                let known = stored.grant.steps.len();
                match self.extend(stored, plan, error).await? {
                    Ok(extended) => stored = extended,
                    Err(id) => return Ok(Given::Overtaken { id }),
                }
                to_do = (known..stored.grant.steps.len()).collect();
                continue;
            }
            let Some(error) = worst(errors) else { continue };
            let now = self.clock.now();
            let Some(pause) = patience.pause(&error, now) else {
                return Ok(Given::Failed { stored, error });
            };
            if let Some(reason) = patience.reason(&error, now) {
                self.store.add_events(&stored.grant.id, &[reason]).await?;
            }
            tokio::time::sleep(pause).await;
        }
        Ok(Given::Done { stored, receipts: receipts.join(" · "), held })
    }

    /// Does what may be done at once.
    async fn do_these(
        &self,
        stored: &Stored,
        these: &[usize],
        target: &dyn Target,
        then: Next,
        seen: &mut Option<Timestamp>,
    ) -> Vec<(usize, Result<(String, Option<Release>), TargetError>)> {
        let steps = &stored.grant.steps;
        // Whoever holds what is shared is told with the hold.
        let unshared = these.iter().copied().find(|at| steps.get(*at).is_some_and(|step| !step.shared));
        if let Some(at) = unshared
            && let Err(error) = self.still_ours(stored, seen).await
        {
            return vec![(at, Err(error))];
        }
        let these = these.iter().filter_map(|at| Some((*at, steps.get(*at)?)));
        let doing = these.map(async |(at, step)| (at, self.do_step(stored, step, target, then).await));
        join_all(doing).await
    }

    /// What can be done in the place of what cannot.
    async fn another_way<'e>(
        &self,
        stored: &Stored,
        permit: &Permit,
        target: &dyn Target,
        errors: &'e [(usize, TargetError)],
    ) -> Option<(Plan, &'e TargetError)> {
        for (at, error) in errors {
            let step = stored.grant.steps.get(*at)?;
            if let Some(plan) = target.fallback_plan(permit, &stored.grant, step, error).await {
                return Some((plan, error));
            }
        }
        None
    }

    async fn do_step(
        &self,
        stored: &Stored,
        step: &Step,
        target: &dyn Target,
        then: Next,
    ) -> Result<(String, Option<Release>), TargetError> {
        if step.shared {
            return self.give_shared(stored, step, target, then).await;
        }
        let claim = self.claim_on(&stored.grant);
        let applying = target.apply(&stored.grant, step, self.clock.now(), &claim);
        Ok((applying.instrument(spans::target("target: give", target.kind())).await?, None))
    }

    /// Whoever slept, or waited for its turn, must not go on where somebody else may have undone already: what it did
    /// then would stay.
    async fn still_ours(&self, stored: &Stored, seen: &mut Option<Timestamp>) -> Result<(), TargetError> {
        let now = self.clock.now();
        if seen.is_none_or(|seen| now < seen || now >= seen.plus(SURE_FOR)) {
            let there = self.store.grant(&stored.grant.id).await.map_err(unavailable)?;
            if there.is_none_or(|there| there.version != stored.version) {
                return Err(overtaken());
            }
            *seen = Some(now);
        }
        self.claim_has_time(stored)
    }

    pub(crate) fn claim_has_time(&self, stored: &Stored) -> Result<(), TargetError> {
        match &stored.grant.state {
            State::Applying { claimed_until } if self.clock.now().plus(CALL) < *claimed_until => Ok(()),
            State::Denied { .. }
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Ending(_)
            | State::Revoked { .. } => Err(TargetError::refused("giving took too long")),
        }
    }

    /// Until when the calls of an elevation may be sent: what counts on that is [`Self::with_its_claim`].
    pub(crate) fn claim_on(&self, grant: &Grant) -> Claim {
        match &grant.state {
            State::Applying { claimed_until } => self.claim_until(*claimed_until),
            State::Denied { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Ending(_)
            | State::Revoked { .. } => self.claim_until(grant.requested_at),
        }
    }

    async fn extend(
        &self,
        stored: Stored,
        plan: Plan,
        error: &TargetError,
    ) -> Result<Result<Stored, GrantId>, Refusal> {
        let id = stored.grant.id.clone();
        let why = format!("{error} · another way is taken");
        let moved: Moved =
            match stored.grant.clone().extend(self.clock.now(), plan.steps, plan.enforced_by, &why) {
                Ok(moved) => moved,
                Err(_) => return Ok(Err(id)),
            };
        Ok(match self.store.save(&stored, &moved, Guard::Version).await? {
            Saved::Done(stored) => Ok(stored),
            Saved::Conflict => Err(id),
        })
    }

    /// A change was asked for and not answered.
    fn unsure(&self, grant: Grant, late: LateWrites) -> Grant {
        match late {
            LateWrites::Impossible => grant,
            LateWrites::Possible { within } => grant.unsure(self.clock.now().plus(within)),
        }
    }
}

/// The one that decides whether it is tried again, and is told.
fn worst(errors: Vec<(usize, TargetError)>) -> Option<TargetError> {
    let rank = |error: &TargetError| match error.fault {
        Fault::Refused => 0,
        Fault::Full { .. } => 1,
        Fault::Unknown => 2,
        Fault::Busy { .. } => 3,
    };
    errors.into_iter().map(|(_, error)| error).min_by_key(rank)
}

/// For how long what failed is tried again, and which reasons were written down already.
struct Patience {
    until: Timestamp,
    last: Option<String>,
}

impl Patience {
    fn until(until: Timestamp) -> Self {
        Self { until, last: None }
    }

    /// How long to wait before it is tried again; nothing if it is not.
    fn pause(&self, error: &TargetError, now: Timestamp) -> Option<Duration> {
        let pause = match &error.fault {
            Fault::Refused => return None,
            Fault::Busy { retry_after } | Fault::Full { retry_after } => *retry_after,
            Fault::Unknown => Duration::from_millis(200),
        };
        (now.plus(pause) < self.until).then_some(pause)
    }

    /// A row for the timeline, the first time that this is the reason.
    fn reason(&mut self, error: &TargetError, now: Timestamp) -> Option<NewEvent> {
        if self.last.as_deref() == Some(error.what.as_str()) {
            return None;
        }
        self.last = Some(error.what.clone());
        Some(NewEvent::new(now, EventKind::Target, format!("{error} · trying again")))
    }
}
