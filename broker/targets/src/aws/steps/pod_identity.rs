//! The role of a pod's service account. A revoke removes the association and refuses the credentials that EKS issued to
//! the pods before.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_eks::types::PodIdentityAssociation;
use domain::Grant;
use domain::aws::{IamArn, Pod};
use protocol::{GrantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::inline_policy::{self, InlinePolicyRef};
use crate::aws::accounts::Api;
use crate::aws::consistency::Consistency;
use crate::aws::principal::Principal;
use crate::aws::{names, policy_document};
use crate::calls::CallError;
use crate::throttle::Priority;
use crate::{Presence, Removal, TargetError};

/// More service accounts than one broker sees in a day.
const MAX_CACHED: usize = 1000;

/// The data of this step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::aws) struct AssociatePod {
    pub(in crate::aws) pod: Pod,
    pub(in crate::aws) role: IamArn,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::aws) region: Option<String>,
}

impl AssociatePod {
    pub(in crate::aws) fn object(&self) -> String {
        object(&self.pod)
    }

    fn deny_policy(&self, grant: &GrantId) -> InlinePolicyRef {
        InlinePolicyRef { principal: Principal::role(&self.role), name: names::deny(grant) }
    }
}

pub(in crate::aws) fn object(pod: &Pod) -> String {
    format!("pod/{}/{}/{}", pod.cluster, pod.namespace, pod.service_account)
}

/// The ids of associations that this broker created, by account and object. EKS uses an id once, so that an id of an
/// association that was replaced finds nothing.
#[derive(Debug, Default)]
pub(in crate::aws) struct AssociationCache(Mutex<HashMap<(String, String), String>>);

impl AssociationCache {
    fn insert(&self, api: Api<'_>, step: &AssociatePod, id: &str) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= MAX_CACHED {
            cached.clear();
        }
        cached.insert((api.id.clone(), step.object()), id.to_owned());
    }

    fn take(&self, api: Api<'_>, step: &AssociatePod) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(api.id.clone(), step.object()))
    }
}

pub(in crate::aws) async fn apply(
    api: Api<'_>,
    cache: &AssociationCache,
    grant: &Grant,
    step: &AssociatePod,
    policies: &str,
) -> Result<String, TargetError> {
    let Pod { cluster, namespace, service_account } = &step.pod;
    let eks = api.eks(step.region.as_deref());
    let creating = eks
        .create_pod_identity_association()
        .cluster_name(cluster)
        .namespace(namespace)
        .service_account(service_account)
        .role_arn(step.role.as_str())
        .client_request_token(grant.id.as_str())
        .tags(names::GRANT_TAG, grant.id.as_str())
        .tags(names::AGENT_TAG, grant.agent_id.as_str())
        .send();
    match api.call(Priority::Normal, "eks:CreatePodIdentityAssociation", creating).await {
        Ok(created) => {
            let id = created.association().and_then(|created| created.association_id());
            id.into_iter().for_each(|id| cache.insert(api, step, id));
        }
        Err(error) if error.is("ResourceInUse") => {
            // Another grant of this service account, or an earlier try of this one: fine if the role is the same.
            let found = association(api, &step.pod, step.region.as_deref(), Priority::Normal).await?;
            if let Some(other) = found.filter(|found| found.role_arn() != Some(step.role.as_str())) {
                return Err(TargetError::refused(format!(
                    "the service account {namespace}/{service_account} has the role {} already: expected none, or {}",
                    other.role_arn().unwrap_or("(unnamed)"),
                    step.role,
                )));
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(format!("pod identity · {namespace}/{service_account} · {policies}"))
}

/// Removes the association and refuses the credentials that its pods have.
pub(in crate::aws) async fn revert(
    api: Api<'_>,
    cache: &AssociationCache,
    consistency: Consistency,
    grant: &Grant,
    step: &AssociatePod,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    // Neither needs the other: the deny is for credentials issued before, and is renewed at the last observation.
    let (removed, denied) =
        tokio::join!(delete_managed(api, cache, step), put_deny(api, &grant.id, step, now));
    denied?;
    if removed? {
        return Ok(Removal::Pending {
            receipt: "pod identity removed · credentials of its pods are refused".to_owned(),
            observe_at: consistency.read_back_at(now),
        });
    }
    Ok(match consistency.not_found(grant, now, "no association") {
        Removal::Confirmed { proof, .. } => {
            Removal::Confirmed { proof, session_deny_until: Some(deny_needed_until(now)) }
        }
        early @ Removal::Pending { .. } => early,
    })
}

/// Reads whether the association exists. The last observation refuses again what pods were issued until now, because
/// EKS issues credentials for some seconds after the association is gone.
pub(in crate::aws) async fn observe(
    api: Api<'_>,
    grant: &Grant,
    step: &AssociatePod,
    priority: Priority,
    now: Timestamp,
) -> Result<Presence, TargetError> {
    let found = association(api, &step.pod, step.region.as_deref(), priority).await?;
    if found.is_some_and(|found| found.role_arn() == Some(step.role.as_str())) {
        return Ok(Presence::Present);
    }
    let mut session_deny_until = None;
    if grant.is_verifying() {
        put_deny(api, &grant.id, step, now).await?;
        session_deny_until = Some(deny_needed_until(now));
    }
    Ok(Presence::Absent { proof: "no association · read back".to_owned(), session_deny_until })
}

/// Removes an orphan and refuses the credentials that its pods have.
pub(in crate::aws) async fn remove(
    api: Api<'_>,
    cache: &AssociationCache,
    grant: &GrantId,
    step: &AssociatePod,
    now: Timestamp,
) -> Result<String, TargetError> {
    let (removed, denied) = tokio::join!(delete_managed(api, cache, step), put_deny(api, grant, step, now));
    denied?;
    Ok(if removed? { "removed" } else { "was gone already" }.to_owned())
}

/// Deletes the association if the broker created it; false if there was none.
async fn delete_managed(
    api: Api<'_>,
    cache: &AssociationCache,
    step: &AssociatePod,
) -> Result<bool, CallError> {
    // The id of an association that this broker created needs no reading.
    if let Some(id) = cache.take(api, step)
        && delete(api, step, &id).await?
    {
        return Ok(true);
    }
    let found = association(api, &step.pod, step.region.as_deref(), Priority::Revoke).await?;
    let Some(found) = found else { return Ok(false) };
    let is_managed = found.tags().is_some_and(|tags| tags.contains_key(names::GRANT_TAG));
    if !is_managed || found.role_arn() != Some(step.role.as_str()) {
        return Ok(false);
    }
    // Another broker may have deleted it meanwhile.
    delete(api, step, found.association_id().unwrap_or_default()).await.map(|_| true)
}

/// False if it was not there.
async fn delete(api: Api<'_>, step: &AssociatePod, id: &str) -> Result<bool, CallError> {
    let eks = api.eks(step.region.as_deref());
    let sending =
        eks.delete_pod_identity_association().cluster_name(&step.pod.cluster).association_id(id).send();
    match api.call(Priority::Revoke, "eks:DeletePodIdentityAssociation", sending).await {
        Ok(_) => Ok(true),
        Err(error) if error.is("ResourceNotFound") => Ok(false),
        Err(error) => Err(error),
    }
}

async fn put_deny(
    api: Api<'_>,
    grant: &GrantId,
    step: &AssociatePod,
    now: Timestamp,
) -> Result<(), CallError> {
    let document = policy_document::deny_pods(&step.pod, now);
    match inline_policy::put(api, Priority::Revoke, &step.deny_policy(grant), &document).await {
        // Without the role a pod can do nothing.
        Err(error) if error.is("NoSuchEntity") => Ok(()),
        other => other,
    }
}

/// When the session-deny policy of a revert at `now` can be removed.
pub(in crate::aws) fn deny_needed_until(now: Timestamp) -> Timestamp {
    now.plus(policy_document::POD_SESSION).plus(Duration::from_secs(60))
}

/// Removes the session-deny policy when the credentials that it refuses have ended.
pub(in crate::aws) async fn remove_session_deny(
    api: Api<'_>,
    grant: &Grant,
    step: &AssociatePod,
) -> Result<Option<String>, TargetError> {
    inline_policy::remove_session_deny(api, &step.deny_policy(&grant.id)).await
}

/// The service account's association, managed or foreign: EKS allows one.
pub(in crate::aws) async fn association(
    api: Api<'_>,
    pod: &Pod,
    region: Option<&str>,
    priority: Priority,
) -> Result<Option<PodIdentityAssociation>, CallError> {
    let eks = api.eks(region);
    let Pod { cluster, namespace, service_account } = pod;
    let sending = eks
        .list_pod_identity_associations()
        .cluster_name(cluster)
        .namespace(namespace)
        .service_account(service_account)
        .send();
    let list = match api.call(priority, "eks:ListPodIdentityAssociations", sending).await {
        Ok(list) => list,
        Err(error) if error.is("ResourceNotFound") => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(id) = list.associations().first().and_then(|one| one.association_id()) else {
        return Ok(None);
    };
    let sending = eks.describe_pod_identity_association().cluster_name(cluster).association_id(id).send();
    match api.call(priority, "eks:DescribePodIdentityAssociation", sending).await {
        Ok(answer) => Ok(answer.association().cloned()),
        Err(error) if error.is("ResourceNotFound") => Ok(None),
        Err(error) => Err(error),
    }
}
