//! Plans the steps of a grant before anything is written.

use std::pin::pin;

use domain::grant::Request;
use domain::{Grant, NewEvent};
use policy::Permit;
use protocol::{GrantId, Timestamp};
use store::GrantRecord;
use targets::{LateWrites, Plan, Target, TargetError};

use super::Driver;
use super::retry::Retries;
use crate::Refusal;

impl Driver {
    /// The plan of the target, with an event for each reason of a retry. A retry of an elevation gets the plan of its
    /// grant, so that it does not fail because the target does not answer now: the store is read while the target plans.
    pub(crate) async fn plan(
        &self,
        request: &Request,
        permit: &Permit,
        target: &dyn Target,
        now: Timestamp,
    ) -> Result<(Plan, Vec<NewEvent>), Refusal> {
        let ends = now.plus(request.ttl.into());
        let mut planning = pin!(self.plan_with_retries(target, permit, &request.id, ends));
        if target.late_writes() == LateWrites::Impossible {
            return planning.await.map_err(|error| Refusal::target_failed(&error.what));
        }
        let mut reading = pin!(self.store.grant_by_key(&request.agent_id, &request.key));
        let mut is_new = false;
        let existing = |record: GrantRecord| {
            (Plan { steps: record.grant.steps, enforced_by: record.grant.enforced_by }, Vec::new())
        };
        loop {
            tokio::select! {
                biased;
                // A request that joins a grant gets that grant, whatever was planned here.
                planned = &mut planning => return match planned {
                    Ok(planned) => Ok(planned),
                    Err(error) if is_new => Err(Refusal::target_failed(&error.what)),
                    Err(error) => {
                        reading.await?.map(existing).ok_or_else(|| Refusal::target_failed(&error.what))
                    }
                },
                read = &mut reading, if !is_new => match read? {
                    Some(record) => return Ok(existing(record)),
                    None => is_new = true,
                },
            }
        }
    }

    /// The plan for an approved grant, which has none yet.
    pub(crate) async fn plan_approved(
        &self,
        grant: &Grant,
        permit: &Permit,
        target: &dyn Target,
        now: Timestamp,
    ) -> Result<(Plan, Vec<NewEvent>), Refusal> {
        let ends = now.plus(grant.ttl.into());
        let planned = self.plan_with_retries(target, permit, &grant.id, ends).await;
        planned.map_err(|error| Refusal::target_failed(&error.what))
    }

    async fn plan_with_retries(
        &self,
        target: &dyn Target,
        permit: &Permit,
        id: &GrantId,
        ends: Timestamp,
    ) -> Result<(Plan, Vec<NewEvent>), TargetError> {
        let mut retries = Retries::until(self.clock.now().plus(self.settings.load().claim / 3));
        let mut reasons = Vec::new();
        loop {
            match target.plan(permit, id, ends).await {
                Ok(plan) => return Ok((plan, reasons)),
                Err(error) => {
                    let pause = retries.pause(&error, self.clock.now()).ok_or_else(|| error.clone())?;
                    reasons.extend(retries.reason(&error, self.clock.now()));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}
