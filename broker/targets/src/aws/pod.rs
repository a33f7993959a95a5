//! A pod's service account gets a role, and loses it. What its pods were given before is refused.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_eks::types::PodIdentityAssociation;
use domain::aws::IamKind;
use domain::{Grant, Step};
use protocol::{GrantId, Timestamp};

use super::accounts::Claimed;
use super::bound_policy::{self, Spot};
use super::call::{Failure, call};
use super::gate::Urgency;
use super::{AwsTarget, document, fact, names};
use crate::{Presence, Removal, TargetError};

/// More service accounts than one broker sees in a day.
const MAX_KNOWN: usize = 1000;

/// The ids of associations that this broker has made, each by the object of its step. An id is used once: one that
/// somebody has replaced is not found by it.
#[derive(Debug, Default)]
pub(super) struct Associations(Mutex<HashMap<String, String>>);

impl Associations {
    fn remember(&self, step: &Step, id: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(step.object.clone(), id.to_owned());
    }

    fn take(&self, step: &Step) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&step.object)
    }
}

/// Do.
pub(super) async fn apply(account: Claimed<'_>, grant: &Grant, step: &Step) -> Result<String, TargetError> {
    let eks = account.eks(step.fact(fact::REGION));
    let making = eks
        .create_pod_identity_association()
        .cluster_name(step.fact(fact::CLUSTER))
        .namespace(step.fact(fact::NAMESPACE))
        .service_account(step.fact(fact::SERVICE_ACCOUNT))
        .role_arn(step.fact(fact::ARN))
        .client_request_token(grant.id.as_str())
        .tags(names::GRANT_TAG, grant.id.as_str())
        .tags(names::AGENT_TAG, grant.agent_id.as_str())
        .send();
    match call(account, Urgency::Give, "eks:CreatePodIdentityAssociation", making).await {
        Ok(made) => {
            let id = made.association().and_then(|made| made.association_id());
            id.into_iter().for_each(|id| account.associations.remember(step, id));
        }
        Err(failure) if failure.is("ResourceInUse") => {
            // Another grant of this service account, or an earlier try of this one: good if it is the same role.
            let there = association(account, step, Urgency::Give).await?;
            if let Some(other) = there.filter(|there| there.role_arn() != Some(step.fact(fact::ARN))) {
                return Err(TargetError::refused(format!(
                    "the service account {}/{} has the role {} already: expected none, or {}",
                    step.fact(fact::NAMESPACE),
                    step.fact(fact::SERVICE_ACCOUNT),
                    other.role_arn().unwrap_or("of nobody"),
                    step.fact(fact::ARN),
                )));
            }
        }
        Err(failure) => return Err(failure.into()),
    }
    Ok(format!(
        "pod identity · {}/{} · {}",
        step.fact(fact::NAMESPACE),
        step.fact(fact::SERVICE_ACCOUNT),
        step.fact(fact::GIVES)
    ))
}

/// Undo: the association goes, and with it a refusal of what the pods hold comes.
pub(super) async fn revert(
    target: &AwsTarget,
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    // Neither needs the other: the refusal counts for what was issued before, and is renewed at the last look.
    let (removed, refused) = tokio::join!(remove(account, step), refuse(account, &grant.id, step, now));
    refused?;
    if removed? {
        return Ok(Removal::Pending {
            receipt: "pod identity removed · what pods hold is refused".to_owned(),
            observe_at: target.read_back_at(now),
        });
    }
    Ok(match target.not_there(grant, now, "no association") {
        Removal::Confirmed { proof, .. } => {
            Removal::Confirmed { proof, session_deny_until: Some(refused_until(now)) }
        }
        early @ Removal::Pending { .. } => early,
    })
}

/// Removes one that belongs to nobody, and refuses what its pods hold.
pub(super) async fn remove_orphan(
    account: Claimed<'_>,
    grant: &GrantId,
    step: &Step,
    now: Timestamp,
) -> Result<String, TargetError> {
    let (removed, refused) = tokio::join!(remove(account, step), refuse(account, grant, step, now));
    refused?;
    Ok(if removed? { "removed" } else { "was gone already" }.to_owned())
}

/// True if there was one of ours.
async fn remove(account: Claimed<'_>, step: &Step) -> Result<bool, Failure> {
    // What this broker made need not be looked for.
    if let Some(id) = account.associations.take(step)
        && delete(account, step, &id).await?
    {
        return Ok(true);
    }
    let Some(there) = association(account, step, Urgency::TakeBack).await? else { return Ok(false) };
    let ours = there.tags().is_some_and(|tags| tags.contains_key(names::GRANT_TAG));
    if !ours || there.role_arn() != Some(step.fact(fact::ARN)) {
        return Ok(false);
    }
    // Somebody else may have been faster.
    delete(account, step, there.association_id().unwrap_or_default()).await.map(|_| true)
}

/// False if it was not there.
async fn delete(account: Claimed<'_>, step: &Step, id: &str) -> Result<bool, Failure> {
    let eks = account.eks(step.fact(fact::REGION));
    let sending = eks
        .delete_pod_identity_association()
        .cluster_name(step.fact(fact::CLUSTER))
        .association_id(id)
        .send();
    match call(account, Urgency::TakeBack, "eks:DeletePodIdentityAssociation", sending).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is("ResourceNotFound") => Ok(false),
        Err(failure) => Err(failure),
    }
}

async fn refuse(account: Claimed<'_>, grant: &GrantId, step: &Step, now: Timestamp) -> Result<(), Failure> {
    let [cluster, namespace, service_account] =
        [fact::CLUSTER, fact::NAMESPACE, fact::SERVICE_ACCOUNT].map(|name| step.fact(name));
    let deny = names::deny(grant);
    let dead = document::dead_pods(cluster, namespace, service_account, now);
    match bound_policy::put(account, Urgency::TakeBack, spot(step, &deny), &dead).await {
        // Without the role there is nothing that a pod could do.
        Err(failure) if failure.is("NoSuchEntity") => Ok(()),
        other => other,
    }
}

/// Whether it is there. At the end, what pods were given until now is refused as well: EKS goes on for some
/// seconds after the association is gone.
pub(super) async fn observe(
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    urgency: Urgency,
    now: Timestamp,
) -> Result<Presence, TargetError> {
    let there = association(account, step, urgency).await?;
    let same = there.filter(|there| there.role_arn() == Some(step.fact(fact::ARN)));
    if same.is_some() {
        return Ok(Presence::Present);
    }
    let mut session_deny_until = None;
    if grant.is_verifying() {
        refuse(account, &grant.id, step, now).await?;
        session_deny_until = Some(refused_until(now));
    }
    Ok(Presence::Absent { proof: "no association · read back".to_owned(), session_deny_until })
}

pub(super) fn refused_until(now: Timestamp) -> Timestamp {
    now.plus(document::POD_SESSION).plus(std::time::Duration::from_secs(60))
}

/// Takes the refusal away when it has nothing left to refuse.
pub(super) async fn remove_session_deny(
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
) -> Result<Option<String>, TargetError> {
    bound_policy::remove_session_deny(account, spot(step, &names::deny(&grant.id))).await
}

fn spot<'a>(step: &'a Step, policy: &'a str) -> Spot<'a> {
    let role = step.fact(fact::ARN).rsplit('/').next().unwrap_or_default();
    Spot { kind: IamKind::Role, principal: role, policy }
}

/// The service account's association, whosever it is: EKS allows one.
pub(super) async fn association(
    account: Claimed<'_>,
    step: &Step,
    urgency: Urgency,
) -> Result<Option<PodIdentityAssociation>, Failure> {
    let eks = account.eks(step.fact(fact::REGION));
    let cluster = step.fact(fact::CLUSTER);
    let asking = eks
        .list_pod_identity_associations()
        .cluster_name(cluster)
        .namespace(step.fact(fact::NAMESPACE))
        .service_account(step.fact(fact::SERVICE_ACCOUNT))
        .send();
    let list = match call(account, urgency, "eks:ListPodIdentityAssociations", asking).await {
        Ok(list) => list,
        Err(failure) if failure.is("ResourceNotFound") => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let Some(id) = list.associations().first().and_then(|one| one.association_id()) else {
        return Ok(None);
    };
    let asking = eks.describe_pod_identity_association().cluster_name(cluster).association_id(id).send();
    match call(account, urgency, "eks:DescribePodIdentityAssociation", asking).await {
        Ok(answer) => Ok(answer.association().cloned()),
        Err(failure) if failure.is("ResourceNotFound") => Ok(None),
        Err(failure) => Err(failure),
    }
}
