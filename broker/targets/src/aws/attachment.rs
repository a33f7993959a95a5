//! A managed policy on a principal: attached, detached. It has no name of ours and no deadline, so it is shared by
//! the grants that need it and ends when a broker ends it.

use domain::aws::IamKind;
use domain::{Grant, Step};
use protocol::Timestamp;

use super::accounts::Claimed;
use super::call::{Failure, call};
use super::gate::Urgency;
use super::names::Action;
use super::{AwsTarget, fact};
use crate::{Drift, Presence, Removal, TargetError};

/// Do.
pub(super) async fn apply(account: Claimed<'_>, step: &Step) -> Result<String, Failure> {
    let (principal, arn) = (step.fact(fact::PRINCIPAL), step.fact(fact::ARN));
    let kind = fact::principal_kind(step);
    match kind {
        IamKind::Role => {
            let sending = account.iam.attach_role_policy().role_name(principal).policy_arn(arn).send();
            call(account, Urgency::Give, "iam:AttachRolePolicy", sending).await.map(drop)?;
        }
        IamKind::User | IamKind::Policy => {
            let sending = account.iam.attach_user_policy().user_name(principal).policy_arn(arn).send();
            call(account, Urgency::Give, "iam:AttachUserPolicy", sending).await.map(drop)?;
        }
    }
    Ok(format!("policy attached · {} · {}/{principal}", step.fact(fact::GIVES), kind.as_str()))
}

/// Undo.
pub(super) async fn revert(
    target: &AwsTarget,
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    let (principal, arn) = (step.fact(fact::PRINCIPAL), step.fact(fact::ARN));
    match detach(account, fact::principal_kind(step), principal, arn).await {
        Ok(()) => Ok(Removal::Pending {
            receipt: format!("policy detached · {}", step.fact(fact::GIVES)),
            observe_at: target.read_back_at(now),
        }),
        Err(failure) if failure.is("NoSuchEntity") => {
            Ok(target.not_there(grant, now, &format!("{arn} is not attached")))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Whether it is there.
pub(super) async fn observe(
    account: Claimed<'_>,
    step: &Step,
    urgency: Urgency,
) -> Result<Presence, TargetError> {
    let (principal, arn) = (step.fact(fact::PRINCIPAL), step.fact(fact::ARN));
    let kind = fact::principal_kind(step);
    let all = attached(account, urgency, kind, principal).await?;
    Ok(if all.iter().any(|found| found == arn) {
        Presence::Present
    } else {
        Presence::absent(format!("{arn} is not attached to {}/{principal}", kind.as_str()))
    })
}

/// Whether what a policy of the grant's own gives is attached as well: it will be there after the grant.
pub(super) async fn beside(account: Claimed<'_>, step: &Step) -> Result<Option<Drift>, TargetError> {
    let (arn, principal) = (step.fact(fact::ARN), step.fact(fact::PRINCIPAL));
    if Action::of(step) != Some(Action::PutPolicy) || arn.is_empty() {
        return Ok(None);
    }
    let kind = fact::principal_kind(step);
    let attached = attached(account, Urgency::Give, kind, principal).await?;
    let kind = kind.as_str();
    Ok(attached.iter().any(|found| found == arn).then(|| Drift {
        object: Some(format!("{}:{kind}/{principal}:{arn}", account.id)),
        what: format!("{arn} is attached to {kind}/{principal} as well, and stays after this grant"),
    }))
}

pub(super) async fn detach(
    account: Claimed<'_>,
    kind: IamKind,
    principal: &str,
    arn: &str,
) -> Result<(), Failure> {
    match kind {
        IamKind::Role => {
            let sending = account.iam.detach_role_policy().role_name(principal).policy_arn(arn).send();
            call(account, Urgency::TakeBack, "iam:DetachRolePolicy", sending).await.map(drop)
        }
        IamKind::User | IamKind::Policy => {
            let sending = account.iam.detach_user_policy().user_name(principal).policy_arn(arn).send();
            call(account, Urgency::TakeBack, "iam:DetachUserPolicy", sending).await.map(drop)
        }
    }
}

/// Every managed policy on a principal; none on one that is not there.
pub(super) async fn attached(
    account: Claimed<'_>,
    urgency: Urgency,
    kind: IamKind,
    principal: &str,
) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let page = match kind {
            IamKind::Role => {
                let asking = account.iam.list_attached_role_policies().role_name(principal);
                let asking = asking.set_marker(marker.take()).send();
                let page = call(account, urgency, "iam:ListAttachedRolePolicies", asking).await;
                page.map(|page| (arns(page.attached_policies()), page.marker().map(str::to_owned)))
            }
            IamKind::User | IamKind::Policy => {
                let asking = account.iam.list_attached_user_policies().user_name(principal);
                let asking = asking.set_marker(marker.take()).send();
                let page = call(account, urgency, "iam:ListAttachedUserPolicies", asking).await;
                page.map(|page| (arns(page.attached_policies()), page.marker().map(str::to_owned)))
            }
        };
        match page {
            Ok((arns, next)) => {
                found.extend(arns);
                marker = next;
            }
            Err(failure) if failure.is("NoSuchEntity") => return Ok(found),
            Err(failure) => return Err(failure),
        }
        if marker.is_none() {
            return Ok(found);
        }
    }
}

fn arns(policies: &[aws_sdk_iam::types::AttachedPolicy]) -> Vec<String> {
    policies.iter().filter_map(|policy| policy.policy_arn().map(str::to_owned)).collect()
}
