//! The second half of an elevation that needed approval: its client asks again, and gets the grant if it is approved.

use domain::{DecisionKind, Grant, Principal, State};
use policy::Permit;
use protocol::{ErrorCode, GrantId};
use store::GrantRecord;

use super::authorize::Authorized;
use super::elevate::{DECISIONS, Elevated, context_unsettled};
use crate::approvals::{Reviewed, waits_for_votes};
use crate::rules::again::DecidedAgain;
use crate::{Engine, Refusal, to_wire};

impl Engine {
    /// A retry of a request whose grant waits, or waited, for approval; or which other grants of its run refuse by now.
    pub(super) async fn wait_or_collect(
        &self,
        mut record: GrantRecord,
        authorized: &Authorized,
    ) -> Result<Elevated, Refusal> {
        let id = record.grant.id.clone();
        for _ in 0..DECISIONS {
            if !matches!(record.grant.state, State::Waiting(_)) {
                return Box::pin(self.join_decided_again(&id, authorized)).await;
            }
            same_run(&record.grant, &authorized.principal)?;
            let again = self.decide_again(DecisionKind::Approval, &record, &authorized.agent).await?;
            match Box::pin(self.review(record, &authorized.agent, &again)).await? {
                Reviewed::Waits(record) => {
                    let (agent, request) = (&authorized.agent, &again.decided.decision.facts.request);
                    let record = self.vote_by_standing_approvals(record, agent, request).await?;
                    if waits_for_votes(&record) {
                        return Ok(Elevated { grant: to_wire::grant(&record) });
                    }
                }
                Reviewed::Denied(_, refusal) => return Err(refusal),
                Reviewed::Approved(record, permit) => {
                    if let Some(elevated) = Box::pin(self.collect(&record, &permit, &again)).await? {
                        return Ok(elevated);
                    }
                }
                Reviewed::Overtaken(_) => {}
            }
            record = self.driver.read(&id).await?;
        }
        Err(context_unsettled())
    }

    async fn join_decided_again(&self, id: &GrantId, authorized: &Authorized) -> Result<Elevated, Refusal> {
        // A claim counts from before the record is read.
        let claim = self.driver.claim_from(self.clock.now());
        let record = self.driver.read(id).await?;
        if !matches!(record.grant.state, State::Applying { .. } | State::Active { .. }) {
            return Err(Refusal::grant_ended(record.grant.end_reason()));
        }
        let again = self.decide_again(DecisionKind::Credentials, &record, &authorized.agent).await?;
        let permit = again.decided.permit?;
        let target = self.driver.target(permit.target())?;
        Box::pin(self.join(record, &permit, target.as_ref(), &claim)).await
    }

    /// Plans the grant, and applies it from here on like one that needed no approval. None if another driver changed it
    /// first.
    async fn collect(
        &self,
        record: &GrantRecord,
        permit: &Permit,
        again: &DecidedAgain,
    ) -> Result<Option<Elevated>, Refusal> {
        let target = self.driver.target(permit.target())?;
        let now = self.clock.now();
        let (plan, reasons) = self.driver.plan_approved(&record.grant, permit, target.as_ref(), now).await?;
        let claimed_at = self.clock.now();
        let claim = self.driver.claim_from(claimed_at);
        let claimed_until = claimed_at.plus(self.settings.load().claim);
        let collected = record.grant.clone().collect(now, plan.enforced_by, plan.steps, claimed_until);
        let Ok(mut collected) = collected else { return Ok(None) };
        collected.events.extend(reasons);
        let collected = self.driver.activate_at_once(collected, target.as_ref()).await?;
        self.store.record_decision(Some(&record.grant.id), &again.decided.decision).await?;
        let Some(record) = self.save_waiting(record, Some(collected)).await? else { return Ok(None) };
        Ok(Some(self.apply_stored(record, permit, target.as_ref(), claimed_at, &claim).await?))
    }
}

/// Persons approved one run: another one of the same agent does not get its grant, even with the key.
fn same_run(grant: &Grant, principal: &Principal) -> Result<(), Refusal> {
    let (asked, found) = (&grant.provenance, &principal.provenance);
    let same = grant.run == principal.run
        && (asked.trust, asked.platform) == (found.trust, found.platform)
        && (&asked.issuer, &asked.subject) == (&found.issuer, &found.subject)
        && asked.signed == found.signed;
    if same {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::OtherRun,
        "the grant waits for the run that requested it: expected an OIDC token of that run and job",
    )
    .hint("elevate with a key of its own"))
}
