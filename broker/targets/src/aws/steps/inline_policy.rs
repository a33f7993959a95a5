//! An inline policy of one grant on a principal, with the deadline in its document.

use std::fmt;

use domain::Grant;
use domain::aws::IamArn;
use protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::aws::accounts::Api;
use crate::aws::consistency::Consistency;
use crate::aws::managed_policies::decoded;
use crate::aws::principal::Principal;
use crate::calls::CallError;
use crate::throttle::Priority;
use crate::{Presence, Removal, TargetError};

/// An inline policy by its principal and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::aws) struct InlinePolicyRef {
    pub(in crate::aws) principal: Principal,
    pub(in crate::aws) name: String,
}

/// `role/deploy/jit-elev-…`
impl fmt::Display for InlinePolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.principal, self.name)
    }
}

/// The data of this step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::aws) struct PutInlinePolicy {
    pub(in crate::aws) policy: InlinePolicyRef,
    /// The managed policy that the document was taken from, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::aws) source: Option<IamArn>,
    pub(in crate::aws) document: String,
}

pub(in crate::aws) async fn apply(
    api: Api<'_>,
    step: &PutInlinePolicy,
    policies: &str,
) -> Result<String, CallError> {
    put(api, Priority::Normal, &step.policy, &step.document).await?;
    Ok(format!("policy put · {policies} · {}", step.policy.principal))
}

pub(in crate::aws) async fn revert(
    api: Api<'_>,
    consistency: Consistency,
    grant: &Grant,
    step: &PutInlinePolicy,
    policies: &str,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    match delete(api, &step.policy).await {
        Ok(()) => Ok(Removal::Pending {
            receipt: format!("policy deleted · {policies}"),
            observe_at: consistency.read_back_at(now),
        }),
        Err(error) if error.is("NoSuchEntity") => {
            Ok(consistency.not_found(grant, now, &format!("no policy {}", step.policy.name)))
        }
        Err(error) => Err(error.into()),
    }
}

pub(in crate::aws) async fn observe(
    api: Api<'_>,
    step: &PutInlinePolicy,
    priority: Priority,
) -> Result<Presence, TargetError> {
    let InlinePolicyRef { principal, name } = &step.policy;
    Ok(match read(api, priority, &step.policy).await? {
        Some(_) => Presence::Present,
        None => Presence::absent(format!("{principal} has no policy {name}")),
    })
}

/// Removes a session-deny policy; returns a text for the timeline if it was there.
pub(in crate::aws) async fn remove_session_deny(
    api: Api<'_>,
    policy: &InlinePolicyRef,
) -> Result<Option<String>, TargetError> {
    match delete(api, policy).await {
        Ok(()) => Ok(Some(format!("{} removed · the sessions that it refused have ended", policy.name))),
        Err(error) if error.is("NoSuchEntity") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes an orphan.
pub(in crate::aws) async fn remove(api: Api<'_>, policy: &InlinePolicyRef) -> Result<String, TargetError> {
    match delete(api, policy).await {
        Ok(()) => Ok("removed".to_owned()),
        Err(error) if error.is("NoSuchEntity") => Ok("was gone already".to_owned()),
        Err(error) => Err(error.into()),
    }
}

pub(in crate::aws) async fn put(
    api: Api<'_>,
    priority: Priority,
    policy: &InlinePolicyRef,
    document: &str,
) -> Result<(), CallError> {
    match &policy.principal {
        Principal::Role(role) => {
            let sending = api.iam.put_role_policy().role_name(role).policy_name(&policy.name);
            let sending = sending.policy_document(document).send();
            api.call(priority, "iam:PutRolePolicy", sending).await.map(drop)
        }
        Principal::User(user) => {
            let sending = api.iam.put_user_policy().user_name(user).policy_name(&policy.name);
            let sending = sending.policy_document(document).send();
            api.call(priority, "iam:PutUserPolicy", sending).await.map(drop)
        }
    }
}

pub(in crate::aws) async fn delete(api: Api<'_>, policy: &InlinePolicyRef) -> Result<(), CallError> {
    let priority = Priority::Revoke;
    match &policy.principal {
        Principal::Role(role) => {
            let sending = api.iam.delete_role_policy().role_name(role).policy_name(&policy.name).send();
            api.call(priority, "iam:DeleteRolePolicy", sending).await.map(drop)
        }
        Principal::User(user) => {
            let sending = api.iam.delete_user_policy().user_name(user).policy_name(&policy.name).send();
            api.call(priority, "iam:DeleteUserPolicy", sending).await.map(drop)
        }
    }
}

/// The document, if there is one.
pub(in crate::aws) async fn read(
    api: Api<'_>,
    priority: Priority,
    policy: &InlinePolicyRef,
) -> Result<Option<String>, CallError> {
    let read = match &policy.principal {
        Principal::Role(role) => {
            let sending = api.iam.get_role_policy().role_name(role).policy_name(&policy.name).send();
            let answer = api.call(priority, "iam:GetRolePolicy", sending).await;
            answer.map(|answer| decoded(answer.policy_document()))
        }
        Principal::User(user) => {
            let sending = api.iam.get_user_policy().user_name(user).policy_name(&policy.name).send();
            let answer = api.call(priority, "iam:GetUserPolicy", sending).await;
            answer.map(|answer| decoded(answer.policy_document()))
        }
    };
    match read {
        Ok(document) => Ok(Some(document)),
        Err(error) if error.is("NoSuchEntity") => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of every inline policy on a principal; none if the principal does not exist.
pub(in crate::aws) async fn list(
    api: Api<'_>,
    priority: Priority,
    principal: &Principal,
) -> Result<Vec<String>, CallError> {
    let mut found = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let page = match principal {
            Principal::Role(role) => {
                let sending = api.iam.list_role_policies().role_name(role).set_marker(marker.take()).send();
                let page = api.call(priority, "iam:ListRolePolicies", sending).await;
                page.map(|page| (page.policy_names().to_vec(), page.marker().map(str::to_owned)))
            }
            Principal::User(user) => {
                let sending = api.iam.list_user_policies().user_name(user).set_marker(marker.take()).send();
                let page = api.call(priority, "iam:ListUserPolicies", sending).await;
                page.map(|page| (page.policy_names().to_vec(), page.marker().map(str::to_owned)))
            }
        };
        match page {
            Ok((names, next)) => {
                found.extend(names);
                marker = next;
            }
            Err(error) if error.is("NoSuchEntity") => return Ok(found),
            Err(error) => return Err(error),
        }
        if marker.is_none() {
            return Ok(found);
        }
    }
}
