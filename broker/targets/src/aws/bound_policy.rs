//! A policy of the grant's own on a principal: inline, with the deadline in it.

use domain::aws::IamKind;
use domain::{Grant, Step};
use protocol::Timestamp;

use super::accounts::Claimed;
use super::call::{Failure, call};
use super::gate::Urgency;
use super::policies::decoded;
use super::{AwsTarget, fact};
use crate::{Presence, Removal, TargetError};

/// Whose inline policies, and which one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) kind: IamKind,
    pub(super) principal: &'a str,
    pub(super) policy: &'a str,
}

impl<'a> Spot<'a> {
    pub(super) fn of(step: &'a Step) -> Self {
        Self {
            kind: fact::principal_kind(step),
            principal: step.fact(fact::PRINCIPAL),
            policy: step.fact(fact::POLICY),
        }
    }
}

/// Do.
pub(super) async fn apply(account: Claimed<'_>, step: &Step) -> Result<String, Failure> {
    let spot = Spot::of(step);
    put(account, Urgency::Give, spot, step.fact(fact::DOCUMENT)).await?;
    Ok(format!("policy put · {} · {}/{}", step.fact(fact::GIVES), spot.kind.as_str(), spot.principal))
}

/// Undo.
pub(super) async fn revert(
    target: &AwsTarget,
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    let spot = Spot::of(step);
    match delete(account, spot).await {
        Ok(()) => Ok(Removal::Pending {
            receipt: format!("policy deleted · {}", step.fact(fact::GIVES)),
            observe_at: target.read_back_at(now),
        }),
        Err(failure) if failure.is("NoSuchEntity") => {
            Ok(target.not_there(grant, now, &format!("no policy {}", spot.policy)))
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
    let spot = Spot::of(step);
    Ok(match read(account, urgency, spot).await? {
        Some(_) => Presence::Present,
        None => Presence::absent(format!(
            "{}/{} has no policy {}",
            spot.kind.as_str(),
            spot.principal,
            spot.policy
        )),
    })
}

/// Takes away what kept sessions dead that have ended by now. Says so in words if it was there.
pub(super) async fn remove_session_deny(
    account: Claimed<'_>,
    spot: Spot<'_>,
) -> Result<Option<String>, TargetError> {
    match delete(account, spot).await {
        Ok(()) => Ok(Some(format!("{} removed · what it refused has ended", spot.policy))),
        Err(failure) if failure.is("NoSuchEntity") => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// Removes one that belongs to nobody.
pub(super) async fn remove(account: Claimed<'_>, step: &Step) -> Result<String, TargetError> {
    match delete(account, Spot::of(step)).await {
        Ok(()) => Ok("removed".to_owned()),
        Err(failure) if failure.is("NoSuchEntity") => Ok("was gone already".to_owned()),
        Err(failure) => Err(failure.into()),
    }
}

pub(super) async fn put(
    account: Claimed<'_>,
    urgency: Urgency,
    spot: Spot<'_>,
    document: &str,
) -> Result<(), Failure> {
    let Spot { kind, principal, policy } = spot;
    match kind {
        IamKind::Role => {
            let sending = account.iam.put_role_policy().role_name(principal).policy_name(policy);
            let sending = sending.policy_document(document).send();
            call(account, urgency, "iam:PutRolePolicy", sending).await.map(drop)
        }
        IamKind::User | IamKind::Policy => {
            let sending = account.iam.put_user_policy().user_name(principal).policy_name(policy);
            let sending = sending.policy_document(document).send();
            call(account, urgency, "iam:PutUserPolicy", sending).await.map(drop)
        }
    }
}

pub(super) async fn delete(account: Claimed<'_>, spot: Spot<'_>) -> Result<(), Failure> {
    let Spot { kind, principal, policy } = spot;
    let urgency = Urgency::TakeBack;
    match kind {
        IamKind::Role => {
            let sending = account.iam.delete_role_policy().role_name(principal).policy_name(policy).send();
            call(account, urgency, "iam:DeleteRolePolicy", sending).await.map(drop)
        }
        IamKind::User | IamKind::Policy => {
            let sending = account.iam.delete_user_policy().user_name(principal).policy_name(policy).send();
            call(account, urgency, "iam:DeleteUserPolicy", sending).await.map(drop)
        }
    }
}

/// The document, if there is one.
pub(super) async fn read(
    account: Claimed<'_>,
    urgency: Urgency,
    spot: Spot<'_>,
) -> Result<Option<String>, Failure> {
    let Spot { kind, principal, policy } = spot;
    let read = match kind {
        IamKind::Role => {
            let sending = account.iam.get_role_policy().role_name(principal).policy_name(policy).send();
            let answer = call(account, urgency, "iam:GetRolePolicy", sending).await;
            answer.map(|answer| decoded(answer.policy_document()))
        }
        IamKind::User | IamKind::Policy => {
            let sending = account.iam.get_user_policy().user_name(principal).policy_name(policy).send();
            let answer = call(account, urgency, "iam:GetUserPolicy", sending).await;
            answer.map(|answer| decoded(answer.policy_document()))
        }
    };
    match read {
        Ok(document) => Ok(Some(document)),
        Err(failure) if failure.is("NoSuchEntity") => Ok(None),
        Err(failure) => Err(failure),
    }
}
