//! Applies the steps of a grant, then activates it.
//!
//! Every step is written in the grant before it is applied, and can be applied twice. An error that may pass is retried
//! for a part of the claim, with the reason on the timeline.

use std::sync::Arc;
use std::time::Duration;

use domain::grant::{Transition, WrongState};
use domain::{EndCause, Grant, State, Step};
use futures_util::future::join_all;
use policy::Permit;
use protocol::{GrantId, Timestamp};
use store::{GrantRecord, Precondition, Release, SaveOutcome};
use targets::claim::Claim;
use targets::{Fault, LateWrites, Plan, Target, TargetError};
use tracing::Instrument;

use super::driver::{Driver, Outcome};
use super::parallel::next_batch;
use super::resource_lock::{CALL, Unlock, unavailable};
use super::retry::{Retries, most_significant};
use crate::{Refusal, spans};

/// How long a record that was read counts as current. A driver that is overtaken within that time could as well have
/// been overtaken during the call: then its activation conflicts, and its step is reverted.
const OWNERSHIP_VALID_FOR: Duration = Duration::from_secs(1);

/// The result of applying the steps.
enum Applied {
    /// All are applied. The lock of the last step, if it has one, is to be released with the next save.
    All { record: GrantRecord, receipts: String, lock: Option<Release> },
    /// A step failed, or a retry did not help.
    Failed { record: GrantRecord, error: TargetError },
    /// Another driver saved the grant.
    Overtaken(GrantId),
}

impl Driver {
    /// Claims the grant if the caller has not, applies its steps, makes credentials for a permit, and activates.
    pub(super) async fn activate(
        &self,
        record: GrantRecord,
        permit: Option<&Permit>,
        claimed_at: Option<Timestamp>,
        claim: &Claim,
    ) -> Result<Outcome, Refusal> {
        let target = Arc::clone(self.target(record.grant.target)?);
        let (mut record, mut owned_at) = match claimed_at {
            Some(claimed_at) => (record, Some(claimed_at)),
            None => {
                let now = self.clock.now();
                match self.take_over(record).await? {
                    Ok(record) => (record, Some(now)),
                    Err(id) => return Ok(Outcome::Overtaken(id)),
                }
            }
        };
        loop {
            let applied = self.apply_steps(record, permit, target.as_ref(), owned_at).await?;
            let (applied, receipts, lock) = match applied {
                Applied::All { record, receipts, lock } => (record, receipts, lock),
                Applied::Failed { record, error } => return self.fail(record, &error.what, claim).await,
                Applied::Overtaken(id) => return Ok(Outcome::Overtaken(id)),
            };
            // Made before the activation is saved: a driver that ends the grant from then on ends them as well.
            let credentials = match permit {
                None => None,
                Some(permit) => match target.credentials(permit, &applied.grant, self.clock.now()).await {
                    Ok(credentials) => Some(credentials),
                    Err(error) => {
                        self.release_or_let_expire(lock).await;
                        return self.fail(applied, &error.what, claim).await;
                    }
                },
            };
            let now = self.clock.now();
            let active = match applied.grant.clone().activate(now, &receipts) {
                Ok(active) => active,
                Err(WrongState { grant, .. }) => {
                    self.release_or_let_expire(lock).await;
                    return match now >= grant.expires_at {
                        true => self.fail(applied, "the deadline came first", claim).await,
                        false => Ok(Outcome::NotActivated(Refusal::grant_ended(grant.end_reason()))),
                    };
                }
            };
            let saving = self.store.save(&applied, &active, Precondition::Version, lock.as_ref());
            match saving.instrument(spans::store("store: activate grant")).await? {
                SaveOutcome::Done(record) => {
                    self.counters.grants_activated();
                    return Ok(Outcome::Activated { record, credentials });
                }
                SaveOutcome::Conflict => return Ok(Outcome::Overtaken(applied.grant.id)),
                // Paused for so long that another driver has locked the object since: applied again, if time allows.
                SaveOutcome::LockLost => (record, owned_at) = (applied, None),
            }
        }
    }

    /// Applies steps that change nothing outside the broker, and activates: one transition, so that a crash leaves
    /// nothing behind. Other steps are applied after they are stored.
    pub(crate) async fn activate_at_once(
        &self,
        accepted: Transition,
        target: &dyn Target,
    ) -> Result<Transition, Refusal> {
        if target.late_writes() != LateWrites::Impossible {
            return Ok(accepted);
        }
        let mut receipts = Vec::with_capacity(accepted.grant.steps.len());
        let claim = Claim::not_needed();
        for step in &accepted.grant.steps {
            let applying = target.apply(&accepted.grant, step, self.clock.now(), &claim);
            let receipt = applying.instrument(spans::target("target: apply", target.kind())).await;
            receipts.push(receipt.map_err(|error| Refusal::target_failed(&error.what))?);
        }
        let active = accepted.grant.clone().activate(self.clock.now(), &receipts.join(" · "));
        let active = active.map_err(|wrong| Refusal::grant_ended(wrong.grant.end_reason()))?;
        Ok(accepted.then(active))
    }

    /// Transfers the claim to this driver. The previous driver may only be slow: what it sends before its claim ends
    /// counts as a late write. The id, if another driver saved first.
    async fn take_over(&self, record: GrantRecord) -> Result<Result<GrantRecord, GrantId>, Refusal> {
        let id = record.grant.id.clone();
        let claimed_until = self.clock.now().plus(self.settings.load().claim);
        let marked = self.mark_claim_as_late_write(record.grant.clone(), &EndCause::Abandoned);
        let Ok(claimed) = marked.claim(claimed_until) else { return Ok(Err(id)) };
        Ok(match self.store.save(&record, &claimed, Precondition::Version, None).await? {
            SaveOutcome::Done(record) => Ok(record),
            SaveOutcome::Conflict | SaveOutcome::LockLost => Err(id),
        })
    }

    /// Rolls back what was applied.
    async fn fail(&self, record: GrantRecord, what: &str, claim: &Claim) -> Result<Outcome, Refusal> {
        let failed = Refusal::target_failed(what);
        Ok(Outcome::NotActivated(
            match Box::pin(self.end(record, &EndCause::TargetFailed(what.to_owned()), claim)).await {
                Ok(record) if matches!(record.grant.state, State::Applying { .. } | State::Active { .. }) => {
                    failed.hint("another try of the same request goes on: retry with its idempotency key")
                }
                Ok(_) => failed.hint("the steps that were applied are being reverted; try again"),
                // The worker rolls back when the claim has ended.
                Err(error) => {
                    failed.hint("the steps that were applied are being reverted; try again").because(error)
                }
            },
        ))
    }

    /// Applies every step, in batches. At `owned_at` the record was known to be current.
    async fn apply_steps(
        &self,
        mut record: GrantRecord,
        permit: Option<&Permit>,
        target: &dyn Target,
        mut owned_at: Option<Timestamp>,
    ) -> Result<Applied, Refusal> {
        let mut retries = Retries::until(self.clock.now().plus(self.settings.load().claim * 2 / 3));
        let mut receipts = Vec::with_capacity(record.grant.steps.len());
        let mut left: Vec<usize> = (0..record.grant.steps.len()).collect();
        let mut lock = None;
        while !left.is_empty() {
            let batch = next_batch(target, &record.grant.steps, &left);
            // Steps of one batch may wait for each other's locks, so a lock outlives its step only if it is the last.
            let unlock = if left.len() == 1 { Unlock::WithNextSave } else { Unlock::Now };
            let mut errors = Vec::new();
            for (at, result) in self.apply_batch(&record, &batch, target, unlock, &mut owned_at).await {
                match result {
                    Ok((receipt, kept)) => {
                        left.retain(|other| *other != at);
                        receipts.push(receipt);
                        lock = kept;
                    }
                    Err(error) => errors.push((at, error)),
                }
            }
            if !errors.is_empty() {
                owned_at = None;
            }
            // Also if a fallback plan replaces the other step of the batch.
            if errors.iter().any(|(_, error)| error.fault == Fault::Unknown) {
                record.grant = self.mark_unanswered(record.grant, target.late_writes());
            }
            if let Some((plan, error)) = self.fallback_plan(&record, permit, target, &errors).await {
                let known = record.grant.steps.len();
                match self.save_fallback(record, plan, error).await? {
                    Ok(extended) => record = extended,
                    Err(id) => return Ok(Applied::Overtaken(id)),
                }
                left = (known..record.grant.steps.len()).collect();
                continue;
            }
            let Some(error) = most_significant(errors) else { continue };
            let now = self.clock.now();
            let Some(pause) = retries.pause(&error, now) else {
                return Ok(Applied::Failed { record, error });
            };
            if let Some(reason) = retries.reason(&error, now) {
                self.store.add_events(&record.grant.id, &[reason]).await?;
            }
            tokio::time::sleep(pause).await;
        }
        Ok(Applied::All { record, receipts: receipts.join(" · "), lock })
    }

    async fn apply_batch(
        &self,
        record: &GrantRecord,
        batch: &[usize],
        target: &dyn Target,
        unlock: Unlock,
        owned_at: &mut Option<Timestamp>,
    ) -> Vec<(usize, Result<(String, Option<Release>), TargetError>)> {
        let steps = &record.grant.steps;
        // For a shared step, the lock says whether the record is current.
        let not_shared = batch.iter().copied().find(|at| steps.get(*at).is_some_and(|step| !step.shared));
        if let Some(at) = not_shared
            && let Err(error) = self.ensure_owned(record, owned_at).await
        {
            return vec![(at, Err(error))];
        }
        let batch = batch.iter().filter_map(|at| Some((*at, steps.get(*at)?)));
        let applying =
            batch.map(async |(at, step)| (at, self.apply_step(record, step, target, unlock).await));
        join_all(applying).await
    }

    async fn apply_step(
        &self,
        record: &GrantRecord,
        step: &Step,
        target: &dyn Target,
        unlock: Unlock,
    ) -> Result<(String, Option<Release>), TargetError> {
        if step.shared {
            return self.attach(record, step, target, unlock).await;
        }
        let claim = self.claim_to_apply(&record.grant);
        let applying = target.apply(&record.grant, step, self.clock.now(), &claim);
        Ok((applying.instrument(spans::target("target: apply", target.kind())).await?, None))
    }

    async fn fallback_plan<'e>(
        &self,
        record: &GrantRecord,
        permit: Option<&Permit>,
        target: &dyn Target,
        errors: &'e [(usize, TargetError)],
    ) -> Option<(Plan, &'e TargetError)> {
        for (at, error) in errors {
            let step = record.grant.steps.get(*at)?;
            if let Some(plan) = target.fallback_plan(permit?, &record.grant, step, error).await {
                return Some((plan, error));
            }
        }
        None
    }

    async fn save_fallback(
        &self,
        record: GrantRecord,
        plan: Plan,
        error: &TargetError,
    ) -> Result<Result<GrantRecord, GrantId>, Refusal> {
        let id = record.grant.id.clone();
        let why = format!("{error} · another way is taken");
        let Ok(extended) = record.grant.clone().extend(self.clock.now(), plan.steps, plan.enforced_by, &why)
        else {
            return Ok(Err(id));
        };
        Ok(match self.store.save(&record, &extended, Precondition::Version, None).await? {
            SaveOutcome::Done(record) => Ok(record),
            SaveOutcome::Conflict | SaveOutcome::LockLost => Err(id),
        })
    }

    /// Refuses to go on after a pause in which another driver may have reverted the grant: a step applied after that
    /// would stay.
    async fn ensure_owned(
        &self,
        record: &GrantRecord,
        owned_at: &mut Option<Timestamp>,
    ) -> Result<(), TargetError> {
        let now = self.clock.now();
        if owned_at.is_none_or(|at| now < at || now >= at.plus(OWNERSHIP_VALID_FOR)) {
            let current = self.store.grant(&record.grant.id).await.map_err(unavailable)?;
            if current.is_none_or(|current| current.version != record.version) {
                return Err(overtaken());
            }
            *owned_at = Some(now);
        }
        self.ensure_time_to_apply(record)
    }

    pub(super) fn ensure_time_to_apply(&self, record: &GrantRecord) -> Result<(), TargetError> {
        match &record.grant.state {
            State::Applying { claimed_until } if self.clock.now().plus(CALL) < *claimed_until => Ok(()),
            State::Denied { .. }
            | State::Waiting(_)
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Ending(_)
            | State::Revoked { .. } => Err(TargetError::refused("applying took too long")),
        }
    }

    /// Ends with the claim in the record; [`Driver::mark_claim_as_late_write`] relies on that.
    pub(super) fn claim_to_apply(&self, grant: &Grant) -> Claim {
        match &grant.state {
            State::Applying { claimed_until } => self.claim_until(*claimed_until),
            State::Denied { .. }
            | State::Waiting(_)
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Ending(_)
            | State::Revoked { .. } => self.claim_until(grant.begins_at()),
        }
    }

    fn mark_unanswered(&self, grant: Grant, late: LateWrites) -> Grant {
        match late {
            LateWrites::Impossible => grant,
            LateWrites::Possible { within } => grant.mark_late_write_possible(self.clock.now().plus(within)),
        }
    }
}

pub(super) fn overtaken() -> TargetError {
    TargetError::refused("another driver goes on with this grant, or has ended it")
}
