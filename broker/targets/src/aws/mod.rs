//! Provisions access in AWS accounts, in five modes.
//!
//! Where possible the deadline is part of the access, so that AWS ends it when every broker is down; a revoke refuses
//! sessions that were issued. What each mode does, and its worst case, is in docs/book/src/targets/aws.md.

mod accounts;
mod call;
mod caller_identity;
mod config;
mod consistency;
mod managed_policies;
mod names;
mod plan;
mod policy_document;
mod principal;
mod reconcile;
mod step;
mod steps;

use async_trait::async_trait;
use domain::aws::AwsScope;
use domain::{Grant, State, Step, TargetKind, TargetScope};
use policy::Permit;
use protocol::{Credentials, GrantId, Timestamp};

pub use self::config::{AccountConfig, AccountSettings, AwsConfig, AwsSettings};

use self::accounts::Accounts;
use self::consistency::Consistency;
use self::managed_policies::PolicyCache;
use self::plan::Planning;
use self::step::{AwsStep, StepRecord};
use self::steps::pod_identity::AssociationCache;
use self::steps::session::SessionCache;
use self::steps::{attachment, grant_role, inline_policy, pod_identity, session};
use crate::claim::Claim;
use crate::throttle::Priority;
use crate::{Fault, LateWrites, Plan, Presence, Reconcile, Removal, Target, TargetError};

/// Provisions access in AWS accounts.
#[derive(Debug)]
pub struct AwsTarget {
    accounts: Accounts,
    consistency: Consistency,
    policies: PolicyCache,
    sessions: SessionCache,
    associations: AssociationCache,
}

impl AwsTarget {
    /// With the SDK's standard chain of credentials; sends no call.
    pub async fn new(settings: AwsSettings) -> Self {
        let AwsSettings { read_back_delay, late_write_window, .. } = settings;
        Self {
            accounts: Accounts::connect(&settings).await,
            consistency: Consistency { read_back_delay, late_write_window },
            policies: PolicyCache::default(),
            sessions: SessionCache::default(),
            associations: AssociationCache::default(),
        }
    }
}

fn aws_scope(scope: &TargetScope) -> Result<&AwsScope, TargetError> {
    match scope {
        TargetScope::Aws(scope) => Ok(scope),
        TargetScope::Token(_) => Err(TargetError::refused("the scope is not in AWS")),
    }
}

/// Reads of a grant that is ending do not wait for the rate limiter.
fn priority_of_reads(grant: &Grant) -> Priority {
    match &grant.state {
        State::Waiting(_) | State::Applying { .. } | State::Active { .. } => Priority::Normal,
        State::Denied { .. }
        | State::RollingBack { .. }
        | State::Failed { .. }
        | State::Ending(_)
        | State::Revoked { .. } => Priority::Revoke,
    }
}

#[async_trait]
impl Target for AwsTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Aws
    }

    fn check_scope(&self, scope: &TargetScope) -> Result<(), String> {
        let account = aws_scope(scope).and_then(|scope| self.accounts.get(&scope.account));
        account.map(drop).map_err(|error| error.what)
    }

    fn late_writes(&self) -> LateWrites {
        LateWrites::Possible { within: self.consistency.late_write_window }
    }

    async fn plan(&self, permit: &Permit, id: &GrantId, ends: Timestamp) -> Result<Plan, TargetError> {
        let scope = aws_scope(permit.scope())?;
        let api = self.accounts.get(&scope.account)?.reading();
        Planning { api, cache: &self.policies, scope, grant: id, ends }.plan().await
    }

    fn can_run_in_parallel_with(&self, step: &Step, before: &Step) -> bool {
        let (Ok(step), Ok(before)) = (StepRecord::read(step), StepRecord::read(before)) else { return false };
        match (before.change, step.change) {
            // AWS checks a session's policies with every call that the session makes, not when it is issued.
            (AwsStep::PutInlinePolicy(_), AwsStep::PutInlinePolicy(_) | AwsStep::IssueSession(_))
            | (AwsStep::AttachManagedPolicy(_), AwsStep::AttachManagedPolicy(_)) => true,
            (_, AwsStep::CreateRole(_) | AwsStep::AssociatePod(_))
            | (_, AwsStep::PutInlinePolicy(_) | AwsStep::AttachManagedPolicy(_) | AwsStep::IssueSession(_)) => {
                false
            }
        }
    }

    async fn apply(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<String, TargetError> {
        let record = StepRecord::read(step)?;
        let (policies, cache) = (record.policy_names(), &self.associations);
        let api = self.accounts.get(&record.account)?.under(claim);
        Box::pin(async {
            match &record.change {
                AwsStep::PutInlinePolicy(step) => Ok(inline_policy::apply(api, step, &policies).await?),
                AwsStep::AttachManagedPolicy(step) => Ok(attachment::apply(api, step, &policies).await?),
                AwsStep::CreateRole(step) => grant_role::apply(api, grant, step).await,
                AwsStep::IssueSession(step) => {
                    session::apply(api, &self.sessions, grant, step, &policies, now).await
                }
                AwsStep::AssociatePod(step) => pod_identity::apply(api, cache, grant, step, &policies).await,
            }
        })
        .await
    }

    async fn revert(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Removal, TargetError> {
        let record = StepRecord::read(step)?;
        let (policies, consistency) = (record.policy_names(), self.consistency);
        let api = self.accounts.get(&record.account)?.under(claim);
        Box::pin(async {
            match &record.change {
                AwsStep::PutInlinePolicy(step) => {
                    inline_policy::revert(api, consistency, grant, step, &policies, now).await
                }
                AwsStep::AttachManagedPolicy(step) => {
                    attachment::revert(api, consistency, grant, step, &policies, now).await
                }
                AwsStep::CreateRole(step) => grant_role::revert(api, consistency, grant, step, now).await,
                AwsStep::IssueSession(step) => session::revert(api, consistency, grant, step, now).await,
                AwsStep::AssociatePod(step) => {
                    pod_identity::revert(api, &self.associations, consistency, grant, step, now).await
                }
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
        let record = StepRecord::read(step)?;
        let api = self.accounts.get(&record.account)?.under(claim);
        let priority = priority_of_reads(grant);
        Box::pin(async {
            match &record.change {
                AwsStep::PutInlinePolicy(step) => inline_policy::observe(api, step, priority).await,
                AwsStep::AttachManagedPolicy(step) => attachment::observe(api, step, priority).await,
                AwsStep::CreateRole(step) => grant_role::observe(api, step, priority).await,
                AwsStep::IssueSession(step) => session::observe(api, grant, step, now).await,
                AwsStep::AssociatePod(step) => pod_identity::observe(api, grant, step, priority, now).await,
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
        let record = StepRecord::read(step)?;
        let api = self.accounts.get(&record.account)?.under(claim);
        Box::pin(async {
            match &record.change {
                AwsStep::IssueSession(step) => session::remove_session_deny(api, grant, step).await,
                AwsStep::AssociatePod(step) => pod_identity::remove_session_deny(api, grant, step).await,
                AwsStep::PutInlinePolicy(_) | AwsStep::AttachManagedPolicy(_) | AwsStep::CreateRole(_) => {
                    Ok(None)
                }
            }
        })
        .await
    }

    fn session_deny_needed_until(&self, step: &Step, now: Timestamp) -> Option<Timestamp> {
        match StepRecord::read(step).ok()?.change {
            AwsStep::AssociatePod(_) => Some(pod_identity::deny_needed_until(now)),
            // None of these installs one for a shared object.
            AwsStep::PutInlinePolicy(_)
            | AwsStep::AttachManagedPolicy(_)
            | AwsStep::CreateRole(_)
            | AwsStep::IssueSession(_) => None,
        }
    }

    async fn credentials(
        &self,
        _permit: &Permit,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Credentials, TargetError> {
        for step in &grant.steps {
            let StepRecord { account, change, .. } = StepRecord::read(step)?;
            match change {
                AwsStep::IssueSession(issue) => {
                    let api = self.accounts.get(&account)?.reading();
                    return session::credentials(api, &self.sessions, grant, &issue, now).await;
                }
                AwsStep::PutInlinePolicy(_)
                | AwsStep::AttachManagedPolicy(_)
                | AwsStep::CreateRole(_)
                | AwsStep::AssociatePod(_) => {}
            }
        }
        Ok(Credentials::Held)
    }

    async fn fallback_plan(
        &self,
        permit: &Permit,
        grant: &Grant,
        step: &Step,
        error: &TargetError,
    ) -> Option<Plan> {
        let is_full = matches!(error.fault, Fault::Full { .. });
        let AwsStep::PutInlinePolicy(_) = StepRecord::read(step).ok()?.change else { return None };
        let scope = aws_scope(permit.scope()).ok().filter(|_| is_full)?;
        let api = self.accounts.get(&scope.account).ok()?.reading();
        let (grant, ends) = (&grant.id, grant.expires_at);
        Planning { api, cache: &self.policies, scope, grant, ends }.attach_instead()
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        Some(self)
    }
}
