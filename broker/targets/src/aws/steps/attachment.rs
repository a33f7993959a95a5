//! A managed policy attached to a principal. Its name does not contain the grant's id and it carries no deadline, so
//! the grants that need it share it, and it ends when a broker detaches it.

use domain::Grant;
use domain::aws::IamArn;
use protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::inline_policy::PutInlinePolicy;
use crate::aws::accounts::Api;
use crate::aws::consistency::Consistency;
use crate::aws::principal::Principal;
use crate::aws::step::object_in;
use crate::calls::CallError;
use crate::throttle::Priority;
use crate::{Drift, Presence, Removal, TargetError};

/// The data of this step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::aws) struct AttachManagedPolicy {
    pub(in crate::aws) principal: Principal,
    pub(in crate::aws) policy: IamArn,
}

impl AttachManagedPolicy {
    pub(in crate::aws) fn object(&self) -> String {
        object(&self.principal, &self.policy)
    }
}

fn object(principal: &Principal, policy: &IamArn) -> String {
    format!("{principal}:{policy}")
}

pub(in crate::aws) async fn apply(
    api: Api<'_>,
    step: &AttachManagedPolicy,
    policies: &str,
) -> Result<String, CallError> {
    let arn = step.policy.as_str();
    match &step.principal {
        Principal::Role(role) => {
            let sending = api.iam.attach_role_policy().role_name(role).policy_arn(arn).send();
            api.call(Priority::Normal, "iam:AttachRolePolicy", sending).await.map(drop)?;
        }
        Principal::User(user) => {
            let sending = api.iam.attach_user_policy().user_name(user).policy_arn(arn).send();
            api.call(Priority::Normal, "iam:AttachUserPolicy", sending).await.map(drop)?;
        }
    }
    Ok(format!("policy attached · {policies} · {}", step.principal))
}

pub(in crate::aws) async fn revert(
    api: Api<'_>,
    consistency: Consistency,
    grant: &Grant,
    step: &AttachManagedPolicy,
    policies: &str,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    match detach(api, &step.principal, step.policy.as_str()).await {
        Ok(()) => Ok(Removal::Pending {
            receipt: format!("policy detached · {policies}"),
            observe_at: consistency.read_back_at(now),
        }),
        Err(error) if error.is("NoSuchEntity") => {
            Ok(consistency.not_found(grant, now, &format!("{} is not attached", step.policy)))
        }
        Err(error) => Err(error.into()),
    }
}

pub(in crate::aws) async fn observe(
    api: Api<'_>,
    step: &AttachManagedPolicy,
    priority: Priority,
) -> Result<Presence, TargetError> {
    let AttachManagedPolicy { principal, policy } = step;
    let attached = list(api, priority, principal).await?;
    Ok(if attached.iter().any(|found| found == policy.as_str()) {
        Presence::Present
    } else {
        Presence::absent(format!("{policy} is not attached to {principal}"))
    })
}

/// Whether the managed policy that an inline policy was taken from is attached too: it stays after the grant.
pub(in crate::aws) async fn also_attached(
    api: Api<'_>,
    inline: &PutInlinePolicy,
) -> Result<Option<Drift>, TargetError> {
    let Some(source) = &inline.source else { return Ok(None) };
    let principal = &inline.policy.principal;
    let attached = list(api, Priority::Normal, principal).await?;
    Ok(attached.iter().any(|found| found == source.as_str()).then(|| Drift {
        object: Some(object_in(&api.id, &object(principal, source))),
        what: format!("{source} is attached to {principal} as well, and stays after this grant"),
    }))
}

pub(in crate::aws) async fn detach(api: Api<'_>, principal: &Principal, arn: &str) -> Result<(), CallError> {
    match principal {
        Principal::Role(role) => {
            let sending = api.iam.detach_role_policy().role_name(role).policy_arn(arn).send();
            api.call(Priority::Revoke, "iam:DetachRolePolicy", sending).await.map(drop)
        }
        Principal::User(user) => {
            let sending = api.iam.detach_user_policy().user_name(user).policy_arn(arn).send();
            api.call(Priority::Revoke, "iam:DetachUserPolicy", sending).await.map(drop)
        }
    }
}

/// The ARNs of every managed policy on a principal; none if the principal does not exist.
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
                let sending = api.iam.list_attached_role_policies().role_name(role);
                let sending = sending.set_marker(marker.take()).send();
                let page = api.call(priority, "iam:ListAttachedRolePolicies", sending).await;
                page.map(|page| (arns(page.attached_policies()), page.marker().map(str::to_owned)))
            }
            Principal::User(user) => {
                let sending = api.iam.list_attached_user_policies().user_name(user);
                let sending = sending.set_marker(marker.take()).send();
                let page = api.call(priority, "iam:ListAttachedUserPolicies", sending).await;
                page.map(|page| (arns(page.attached_policies()), page.marker().map(str::to_owned)))
            }
        };
        match page {
            Ok((arns, next)) => {
                found.extend(arns);
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

fn arns(policies: &[aws_sdk_iam::types::AttachedPolicy]) -> Vec<String> {
    policies.iter().filter_map(|policy| policy.policy_arn().map(str::to_owned)).collect()
}
