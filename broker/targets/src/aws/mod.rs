//! Permission in AWS: five ways to give it, and for each the way in which it ends.
//!
//! Where it can be, the deadline is in what is given, so that AWS ends it when everything of ours is dead; sessions
//! that were issued are refused at revoke. What each mode does, and its worst case, is in docs/book/src/targets/aws.md.

mod accounts;
mod attachment;
mod bound_policy;
mod call;
mod caller;
mod document;
mod fact;
mod gate;
mod grant_role;
mod names;
mod plan;
mod pod;
mod policies;
mod session;
mod survey;

use async_trait::async_trait;
use domain::aws::{AwsMode, AwsPlace};
use domain::{Boundary, Grant, Place, State, Step, TargetKind};
use policy::Permit;
use protocol::{Credentials, GrantId, Timestamp};

pub use self::accounts::{AccountSettings, AwsSettings};
pub use self::names::Action;

use self::accounts::{Accounts, Claimed};
use self::gate::Urgency;
use self::plan::Planning;
use crate::claim::Claim;
use crate::{Drift, Fault, Found, LateWrites, Plan, Presence, Removal, Target, TargetError};

/// Gives and takes back in AWS accounts.
#[derive(Debug)]
pub struct AwsTarget {
    accounts: Accounts,
    settings: AwsSettings,
}

impl AwsTarget {
    /// With the SDK's standard chain of credentials; calls nobody yet.
    pub async fn new(settings: AwsSettings) -> Self {
        Self { accounts: Accounts::reach(&settings).await, settings }
    }

    fn account<'a>(&'a self, step: &Step, claim: &'a Claim) -> Result<Claimed<'a>, TargetError> {
        Ok(self.accounts.get(step.fact(fact::ACCOUNT))?.under(claim))
    }

    /// IAM is consistent in the end, not at once.
    fn read_back_at(&self, now: Timestamp) -> Timestamp {
        now.plus(self.settings.settle)
    }

    /// "Not found" is not at once "gone": a write of ours may land late, or not have arrived everywhere yet.
    fn not_there(&self, grant: &Grant, now: Timestamp, proof: &str) -> Removal {
        let sure_from = grant.requested_at.plus(self.settings.late);
        // What never became active is undone again by whoever undoes it, until nothing can land any more.
        if now >= sure_from || matches!(grant.state, State::RollingBack { .. }) {
            return Removal::confirmed(proof);
        }
        let looked_for_again = sure_from.max(self.read_back_at(now));
        Removal::Pending {
            receipt: format!("{proof} · to be looked for again"),
            observe_at: looked_for_again,
        }
    }
}

fn action(step: &Step) -> Result<Action, TargetError> {
    Action::of(step)
        .ok_or_else(|| TargetError::refused(format!("`{}` is not a step of this target", step.action)))
}

fn aws_place(permit: &Permit) -> Result<&AwsPlace, TargetError> {
    match permit.place() {
        Place::Aws(place) => Ok(place),
        Place::Token => Err(TargetError::refused("the boundary is not in AWS")),
    }
}

#[async_trait]
impl Target for AwsTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Aws
    }

    fn check_scope(&self, place: &Place) -> Result<(), String> {
        match place {
            Place::Aws(place) => self.accounts.get(&place.account).map(drop).map_err(|error| error.what),
            Place::Token => Ok(()),
        }
    }

    fn late_writes(&self) -> LateWrites {
        LateWrites::Possible { within: self.settings.late }
    }

    async fn plan(&self, permit: &Permit, id: &GrantId, ends: Timestamp) -> Result<Plan, TargetError> {
        let place = aws_place(permit)?;
        let account = self.accounts.get(&place.account)?.reading();
        Planning { account, place, permit, grant: id, ends }.plan().await
    }

    fn can_run_in_parallel_with(&self, step: &Step, before: &Step) -> bool {
        match (Action::of(before), Action::of(step)) {
            // What a session may do is looked up with every call that it makes, not when it is issued.
            (Some(Action::PutPolicy), Some(Action::PutPolicy | Action::IssueSession))
            | (Some(Action::AttachPolicy), Some(Action::AttachPolicy)) => true,
            (_, Some(Action::CreateRole | Action::AssociatePod))
            | (_, Some(Action::PutPolicy | Action::AttachPolicy | Action::IssueSession) | None) => false,
        }
    }

    async fn apply(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<String, TargetError> {
        let account = self.account(step, claim)?;
        let action = action(step)?;
        Box::pin(async {
            match action {
                Action::PutPolicy => Ok(bound_policy::apply(account, step).await?),
                Action::AttachPolicy => Ok(attachment::apply(account, step).await?),
                Action::CreateRole => grant_role::apply(account, grant, step).await,
                Action::IssueSession => session::apply(account, grant, step, now).await,
                Action::AssociatePod => pod::apply(account, grant, step).await,
            }
        })
        .await
    }

    async fn fallback_plan(
        &self,
        permit: &Permit,
        grant: &Grant,
        step: &Step,
        error: &TargetError,
    ) -> Option<Plan> {
        // Only what is inline can be too much while the registration leaves the choice to us.
        let place = aws_place(permit).ok()?;
        let (AwsMode::StaticPrincipal { role: principal, binding }
        | AwsMode::StaticAccessKeys { user: principal, binding }) = &place.mode
        else {
            return None;
        };
        let full = matches!(error.fault, Fault::Full { .. });
        if *binding != domain::aws::Binding::Auto || action(step).ok()? != Action::PutPolicy || !full {
            return None;
        }
        let account = self.accounts.get(&place.account).ok()?.reading();
        let planning = Planning { account, place, permit, grant: &grant.id, ends: grant.expires_at };
        planning.attach_all(principal).ok()
    }

    async fn revert(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Removal, TargetError> {
        let account = self.account(step, claim)?;
        let action = action(step)?;
        Box::pin(async {
            match action {
                Action::PutPolicy => bound_policy::revert(self, account, grant, step, now).await,
                Action::AttachPolicy => attachment::revert(self, account, grant, step, now).await,
                Action::CreateRole => grant_role::revert(self, account, grant, step, now).await,
                Action::IssueSession => session::revert(self, account, grant, step, now).await,
                Action::AssociatePod => pod::revert(self, account, grant, step, now).await,
            }
        })
        .await
    }

    async fn observe(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Presence, TargetError> {
        let account = self.account(step, claim)?;
        let urgency = match &grant.state {
            State::Applying { .. } | State::Active { .. } => Urgency::Give,
            State::Denied { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Ending(_)
            | State::Revoked { .. } => Urgency::TakeBack,
        };
        let action = action(step)?;
        Box::pin(async {
            match action {
                Action::PutPolicy => bound_policy::observe(account, step, urgency).await,
                Action::AttachPolicy => attachment::observe(account, step, urgency).await,
                Action::CreateRole => grant_role::observe(account, step, urgency).await,
                Action::IssueSession => session::observe(account, grant, step, now).await,
                Action::AssociatePod => pod::observe(account, grant, step, urgency, now).await,
            }
        })
        .await
    }

    async fn remove_session_deny(
        &self,
        grant: &Grant,
        step: &Step,
        _now: Timestamp,
        claim: &Claim,
    ) -> Result<Option<String>, TargetError> {
        let account = self.account(step, claim)?;
        let action = action(step)?;
        Box::pin(async {
            match action {
                Action::IssueSession => session::remove_session_deny(account, grant, step).await,
                Action::AssociatePod => pod::remove_session_deny(account, grant, step).await,
                Action::PutPolicy | Action::AttachPolicy | Action::CreateRole => Ok(None),
            }
        })
        .await
    }

    fn session_deny_needed_until(&self, step: &Step, now: Timestamp) -> Option<Timestamp> {
        match Action::of(step)? {
            Action::AssociatePod => Some(pod::refused_until(now)),
            // Not put there for an object that is shared.
            Action::PutPolicy | Action::AttachPolicy | Action::CreateRole | Action::IssueSession => None,
        }
    }

    async fn credentials(
        &self,
        _permit: &Permit,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Credentials, TargetError> {
        let session = grant.steps.iter().find(|step| Action::of(step) == Some(Action::IssueSession));
        match session {
            Some(step) => {
                let account = self.accounts.get(step.fact(fact::ACCOUNT))?.reading();
                session::credentials(account, grant, step, now).await
            }
            None => Ok(Credentials::Held),
        }
    }

    async fn survey(&self, boundary: &Boundary) -> Result<Vec<Found>, TargetError> {
        let Some(place) = survey::place(boundary) else { return Ok(Vec::new()) };
        let account = self.accounts.get(&place.account)?.reading();
        Ok(survey::survey(account, place, boundary).await?)
    }

    async fn remove(&self, found: &Found, now: Timestamp, claim: &Claim) -> Result<String, TargetError> {
        let account = self.account(&found.step, claim)?;
        let action = action(&found.step)?;
        Box::pin(async {
            match action {
                Action::PutPolicy => bound_policy::remove(account, &found.step).await,
                Action::CreateRole => grant_role::remove(account, &found.step).await,
                Action::AssociatePod => pod::remove_orphan(account, &found.grant, &found.step, now).await,
                // Neither has a name of ours to be found by.
                Action::AttachPolicy | Action::IssueSession => {
                    Err(TargetError::refused(format!("`{}` is not found by a name", found.step.action)))
                }
            }
        })
        .await
    }

    async fn drift(&self, grant: &Grant, step: &Step, now: Timestamp) -> Result<Option<Drift>, TargetError> {
        let account = self.accounts.get(step.fact(fact::ACCOUNT))?.reading();
        match action(step)? {
            Action::IssueSession => return Ok(None),
            Action::PutPolicy | Action::AttachPolicy | Action::CreateRole | Action::AssociatePod => {}
        }
        if let Presence::Absent { proof, .. } = self.observe(grant, step, now, &Claim::not_needed()).await? {
            let what = format!("taken away by somebody else · {proof}");
            return Ok(Some(Drift { object: None, what }));
        }
        attachment::beside(account, step).await
    }
}
