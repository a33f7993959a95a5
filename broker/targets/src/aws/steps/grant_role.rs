//! A role that exists for one grant.

use domain::Grant;
use domain::aws::IamArn;
use protocol::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::inline_policy::{self, InlinePolicyRef};
use super::{attachment, session};
use crate::aws::accounts::Api;
use crate::aws::caller_identity::{Caller, role_of_session};
use crate::aws::consistency::Consistency;
use crate::aws::principal::Principal;
use crate::aws::{names, policy_document};
use crate::calls::CallError;
use crate::throttle::Priority;
use crate::{Presence, Removal, TargetError};

/// The data of this step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::aws) struct CreateRole {
    /// The role's name.
    pub(in crate::aws) role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::aws) permissions_boundary: Option<IamArn>,
}

pub(in crate::aws) async fn apply(
    api: Api<'_>,
    grant: &Grant,
    step: &CreateRole,
) -> Result<String, TargetError> {
    let role = &step.role;
    let broker = broker_principal(api).await?;
    let mut creating = api
        .iam
        .create_role()
        .role_name(role)
        .path(names::ROLE_PATH)
        .description(format!("cloudanix-jit: for the time of {}", grant.id))
        .assume_role_policy_document(trust(&broker, grant))
        .max_session_duration(3600);
    for (key, value) in [(names::GRANT_TAG, grant.id.as_str()), (names::AGENT_TAG, grant.agent_id.as_str())] {
        let tag = aws_sdk_iam::types::Tag::builder().key(key).value(session::tag_value(value)).build();
        creating = creating.tags(tag.map_err(|error| TargetError::refused(error.to_string()))?);
    }
    if let Some(boundary) = &step.permissions_boundary {
        creating = creating.permissions_boundary(boundary.as_str());
    }
    match api.call(Priority::Normal, "iam:CreateRole", creating.send()).await {
        Ok(_) => {}
        // The name contains this grant's id: an earlier try created it.
        Err(error) if error.is("EntityAlreadyExists") => {}
        Err(error) => return Err(error.into()),
    }
    Ok(format!("role made · {role}"))
}

/// The broker's own principal in this account, for a trust policy.
async fn broker_principal(api: Api<'_>) -> Result<String, TargetError> {
    let cache = match &api.caller {
        Caller::Role(arn) => return Ok(arn.clone()),
        Caller::OwnCredentials(cache) => cache,
    };
    let before = cache.get();
    if let Some(known) = before.principal {
        return Ok(known);
    }
    let sending = api.sts.get_caller_identity().send();
    let identity = api.call(Priority::Normal, "sts:GetCallerIdentity", sending).await?;
    let arn = identity.arn().ok_or_else(|| TargetError::refused("sts:GetCallerIdentity gave no ARN"))?;
    let principal = role_of_session(arn);
    cache.store(before.generation, &principal);
    Ok(principal)
}

/// Lets only the broker assume the role, only for this grant.
fn trust(broker: &str, grant: &Grant) -> String {
    policy_document::of(&[
        json!({
            "Effect": "Allow", "Principal": { "AWS": broker }, "Action": "sts:AssumeRole",
            "Condition": { "StringEquals": { "sts:ExternalId": grant.id } },
        }),
        // Neither does anything without the first.
        json!({
            "Effect": "Allow", "Principal": { "AWS": broker },
            "Action": ["sts:TagSession", "sts:SetSourceIdentity"],
        }),
    ])
}

pub(in crate::aws) async fn revert(
    api: Api<'_>,
    consistency: Consistency,
    grant: &Grant,
    step: &CreateRole,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    let role = &step.role;
    match delete_with_contents(api, role).await {
        Ok(()) => Ok(Removal::Pending {
            receipt: format!("role deleted · {role}"),
            observe_at: consistency.read_back_at(now),
        }),
        Err(error) if error.is("NoSuchEntity") => {
            Ok(consistency.not_found(grant, now, &format!("no role {role}")))
        }
        Err(error) => Err(error.into()),
    }
}

pub(in crate::aws) async fn observe(
    api: Api<'_>,
    step: &CreateRole,
    priority: Priority,
) -> Result<Presence, TargetError> {
    let role = &step.role;
    let sending = api.iam.get_role().role_name(role).send();
    match api.call(priority, "iam:GetRole", sending).await {
        Ok(_) => Ok(Presence::Present),
        Err(error) if error.is("NoSuchEntity") => Ok(Presence::absent(format!("no role {role}"))),
        Err(error) => Err(error.into()),
    }
}

/// Removes an orphan.
pub(in crate::aws) async fn remove(api: Api<'_>, role: &str) -> Result<String, TargetError> {
    match delete_with_contents(api, role).await {
        Ok(()) => Ok("removed".to_owned()),
        Err(error) if error.is("NoSuchEntity") => Ok("was gone already".to_owned()),
        Err(error) => Err(error.into()),
    }
}

/// Deletes the role and everything on it, also what others or a late write put there.
async fn delete_with_contents(api: Api<'_>, role: &str) -> Result<(), CallError> {
    match delete(api, role).await {
        Err(error) if error.is("DeleteConflict") => {
            empty(api, role).await?;
            delete(api, role).await
        }
        other => other,
    }
}

async fn delete(api: Api<'_>, role: &str) -> Result<(), CallError> {
    let sending = api.iam.delete_role().role_name(role).send();
    api.call(Priority::Revoke, "iam:DeleteRole", sending).await.map(drop)
}

/// Removes everything that keeps a role from being deleted.
async fn empty(api: Api<'_>, role: &str) -> Result<(), CallError> {
    let principal = Principal::Role(role.to_owned());
    for name in inline_policy::list(api, Priority::Revoke, &principal).await? {
        let policy = InlinePolicyRef { principal: principal.clone(), name };
        unless_gone(inline_policy::delete(api, &policy).await)?;
    }
    for arn in attachment::list(api, Priority::Revoke, &principal).await? {
        unless_gone(attachment::detach(api, &principal, &arn).await)?;
    }
    let sending = api.iam.list_instance_profiles_for_role().role_name(role).send();
    let profiles = api.call(Priority::Revoke, "iam:ListInstanceProfilesForRole", sending).await?;
    for profile in profiles.instance_profiles() {
        let sending = api.iam.remove_role_from_instance_profile().role_name(role);
        let sending = sending.instance_profile_name(profile.instance_profile_name()).send();
        let removed = api.call(Priority::Revoke, "iam:RemoveRoleFromInstanceProfile", sending).await;
        unless_gone(removed.map(drop))?;
    }
    Ok(())
}

fn unless_gone(result: Result<(), CallError>) -> Result<(), CallError> {
    match result {
        Err(error) if error.is("NoSuchEntity") => Ok(()),
        other => other,
    }
}
