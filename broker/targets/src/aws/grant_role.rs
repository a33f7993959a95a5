//! A role that exists for one grant alone.

use domain::aws::IamKind;
use domain::{Grant, Step};
use protocol::Timestamp;
use serde_json::json;

use super::accounts::Claimed;
use super::bound_policy::Spot;
use super::call::{Failure, call};
use super::gate::Urgency;
use super::{AwsTarget, attachment, bound_policy, caller, document, fact, names, session};
use crate::{Presence, Removal, TargetError};

/// Do.
pub(super) async fn apply(account: Claimed<'_>, grant: &Grant, step: &Step) -> Result<String, TargetError> {
    let role = step.fact(fact::PRINCIPAL);
    let us = caller::principal(account).await?;
    let mut making = account
        .iam
        .create_role()
        .role_name(role)
        .path(names::ROLE_PATH)
        .description(format!("cloudanix-jit: for the time of {}", grant.id))
        .assume_role_policy_document(trust(&us, grant))
        .max_session_duration(3600);
    for (key, value) in [(names::GRANT_TAG, grant.id.as_str()), (names::AGENT_TAG, grant.agent_id.as_str())] {
        let tag = aws_sdk_iam::types::Tag::builder().key(key).value(session::tag_value(value)).build();
        making = making.tags(tag.map_err(|error| TargetError::refused(error.to_string()))?);
    }
    if !step.fact(fact::BOUNDARY).is_empty() {
        making = making.permissions_boundary(step.fact(fact::BOUNDARY));
    }
    match call(account, Urgency::Give, "iam:CreateRole", making.send()).await {
        Ok(_) => {}
        // Its name is this grant's: an earlier try made it.
        Err(failure) if failure.is("EntityAlreadyExists") => {}
        Err(failure) => return Err(failure.into()),
    }
    Ok(format!("role made · {role}"))
}

/// Only we may assume it, only for this grant.
fn trust(us: &str, grant: &Grant) -> String {
    document::of(&[
        json!({
            "Effect": "Allow", "Principal": { "AWS": us }, "Action": "sts:AssumeRole",
            "Condition": { "StringEquals": { "sts:ExternalId": grant.id } },
        }),
        // Neither does anything without the first.
        json!({
            "Effect": "Allow", "Principal": { "AWS": us },
            "Action": ["sts:TagSession", "sts:SetSourceIdentity"],
        }),
    ])
}

/// Undo.
pub(super) async fn revert(
    target: &AwsTarget,
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    let role = step.fact(fact::PRINCIPAL);
    match delete_whole(account, role).await {
        Ok(()) => Ok(Removal::Pending {
            receipt: format!("role deleted · {role}"),
            observe_at: target.read_back_at(now),
        }),
        Err(failure) if failure.is("NoSuchEntity") => {
            Ok(target.not_there(grant, now, &format!("no role {role}")))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Removes one that belongs to nobody.
pub(super) async fn remove(account: Claimed<'_>, step: &Step) -> Result<String, TargetError> {
    match delete_whole(account, step.fact(fact::PRINCIPAL)).await {
        Ok(()) => Ok("removed".to_owned()),
        Err(failure) if failure.is("NoSuchEntity") => Ok("was gone already".to_owned()),
        Err(failure) => Err(failure.into()),
    }
}

/// Also if somebody put something on our role, or a late policy of ours is still on it.
async fn delete_whole(account: Claimed<'_>, role: &str) -> Result<(), Failure> {
    match delete(account, role).await {
        Err(failure) if failure.is("DeleteConflict") => {
            empty(account, role).await?;
            delete(account, role).await
        }
        other => other,
    }
}

async fn delete(account: Claimed<'_>, role: &str) -> Result<(), Failure> {
    let sending = account.iam.delete_role().role_name(role).send();
    call(account, Urgency::TakeBack, "iam:DeleteRole", sending).await.map(drop)
}

/// Everything that keeps a role from being deleted.
async fn empty(account: Claimed<'_>, role: &str) -> Result<(), Failure> {
    for policy in inline_policies(account, Urgency::TakeBack, IamKind::Role, role).await? {
        let spot = Spot { kind: IamKind::Role, principal: role, policy: &policy };
        unless_gone(bound_policy::delete(account, spot).await)?;
    }
    for arn in attachment::attached(account, Urgency::TakeBack, IamKind::Role, role).await? {
        unless_gone(attachment::detach(account, IamKind::Role, role, &arn).await)?;
    }
    let asking = account.iam.list_instance_profiles_for_role().role_name(role).send();
    let profiles = call(account, Urgency::TakeBack, "iam:ListInstanceProfilesForRole", asking).await?;
    for profile in profiles.instance_profiles() {
        let sending = account.iam.remove_role_from_instance_profile().role_name(role);
        let sending = sending.instance_profile_name(profile.instance_profile_name()).send();
        let name = "iam:RemoveRoleFromInstanceProfile";
        unless_gone(call(account, Urgency::TakeBack, name, sending).await.map(drop))?;
    }
    Ok(())
}

fn unless_gone(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.is("NoSuchEntity") => Ok(()),
        other => other,
    }
}

/// The names of every inline policy on a principal; none on one that is not there.
pub(super) async fn inline_policies(
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
                let asking = account.iam.list_role_policies().role_name(principal);
                let asking = asking.set_marker(marker.take()).send();
                let page = call(account, urgency, "iam:ListRolePolicies", asking).await;
                page.map(|page| (page.policy_names().to_vec(), page.marker().map(str::to_owned)))
            }
            IamKind::User | IamKind::Policy => {
                let asking = account.iam.list_user_policies().user_name(principal);
                let asking = asking.set_marker(marker.take()).send();
                let page = call(account, urgency, "iam:ListUserPolicies", asking).await;
                page.map(|page| (page.policy_names().to_vec(), page.marker().map(str::to_owned)))
            }
        };
        match page {
            Ok((names, next)) => {
                found.extend(names);
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

/// Whether it is there.
pub(super) async fn observe(
    account: Claimed<'_>,
    step: &Step,
    urgency: Urgency,
) -> Result<Presence, TargetError> {
    let role = step.fact(fact::PRINCIPAL);
    let asking = account.iam.get_role().role_name(role).send();
    match call(account, urgency, "iam:GetRole", asking).await {
        Ok(_) => Ok(Presence::Present),
        Err(failure) if failure.is("NoSuchEntity") => Ok(Presence::absent(format!("no role {role}"))),
        Err(failure) => Err(failure.into()),
    }
}
