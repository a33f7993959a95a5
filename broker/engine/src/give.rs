//! How are the steps of a grant done? Each is written down before it is done; what the target refuses for now is
//! tried again as long as the claim on the grant allows, with the reason on the timeline.

use std::time::Duration;

use domain::grant::Moved;
use domain::{Grant, NewEvent, State, Step};
use policy::Permit;
use protocol::{EventKind, GrantId, Timestamp};
use store::{Guard, Release, Saved, Stored};
use targets::{Fault, LateChanges, Plan, Target, TargetError};
use tracing::Instrument;

use crate::shared::{CALL, Next, overtaken, unavailable};
use crate::{Engine, Refusal, spans};

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

    /// Does every step in order. Doing one twice is doing it once.
    pub(crate) async fn give(
        &self,
        mut stored: Stored,
        permit: &Permit,
        target: &dyn Target,
        mut seen: Seen,
    ) -> Result<Given, Refusal> {
        let mut patience = Patience::until(self.clock.now().plus(self.settings.get().claim * 2 / 3));
        let mut receipts = Vec::with_capacity(stored.grant.steps.len());
        let (mut next, mut held) = (0, None);
        while let Some(step) = stored.grant.steps.get(next).cloned() {
            let then = if next + 1 == stored.grant.steps.len() { Next::Change } else { Next::More };
            let error = match self.do_step(&stored, &step, target, seen, then).await {
                Ok((receipt, kept)) => {
                    receipts.push(receipt);
                    (next, held) = (next + 1, kept);
                    seen = Seen::Before;
                    continue;
                }
                Err(error) => error,
            };
            seen = Seen::Before;
            if let Some(plan) = target.instead(permit, &stored.grant, &step, &error).await {
                next = stored.grant.steps.len();
                match self.extend(stored, plan, &error).await? {
                    Ok(extended) => stored = extended,
                    Err(id) => return Ok(Given::Overtaken { id }),
                }
                continue;
            }
            if error.fault == Fault::Unknown {
                stored.grant = self.unsure(stored.grant, target.late_changes());
            }
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

    async fn do_step(
        &self,
        stored: &Stored,
        step: &Step,
        target: &dyn Target,
        seen: Seen,
        then: Next,
    ) -> Result<(String, Option<Release>), TargetError> {
        match seen {
            _ if step.shared => return self.give_shared(stored, step, target, then).await,
            Seen::JustNow => self.claim_has_time(stored)?,
            Seen::Before => self.claim_lasts(stored).await?,
        }
        let applying = target.apply(&stored.grant, step, self.clock.now());
        let receipt = applying.instrument(spans::target("target: give", target.kind())).await?;
        Ok((receipt, None))
    }

    /// Whoever slept, or waited for its turn, must not go on where somebody else may have undone already: what it did
    /// then would stay.
    async fn claim_lasts(&self, stored: &Stored) -> Result<(), TargetError> {
        let there = self.store.grant(&stored.grant.id).await.map_err(unavailable)?;
        if there.is_none_or(|there| there.version != stored.version) {
            return Err(overtaken());
        }
        self.claim_has_time(stored)
    }

    pub(crate) fn claim_has_time(&self, stored: &Stored) -> Result<(), TargetError> {
        match &stored.grant.state {
            State::Applying { claimed_until } if self.clock.now().plus(CALL) < *claimed_until => Ok(()),
            State::Denied { .. }
            | State::Applying { .. }
            | State::Undoing { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Revoking(_)
            | State::Settling(_)
            | State::Stuck(_)
            | State::Expired(_)
            | State::Revoked { .. } => Err(TargetError::refused("giving took too long")),
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
    fn unsure(&self, grant: Grant, late: LateChanges) -> Grant {
        match late {
            LateChanges::Impossible => grant,
            LateChanges::Possible { within } => grant.unsure(self.clock.now().plus(within)),
        }
    }
}

/// When it was last known that this grant is ours to go on with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seen {
    JustNow,
    Before,
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
