//! Finds managed objects in an account, removes orphans, and compares live grants with the account.

use async_trait::async_trait;
use domain::aws::{AwsMode, AwsScope, BoundPolicies, Pod};
use domain::{Grant, Step, StepData, TargetScope};
use protocol::{GrantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::accounts::Api;
use super::names::{self, ManagedName};
use super::principal::Principal;
use super::step::{AwsStep, StepRecord, object_in};
use super::steps::inline_policy::InlinePolicyRef;
use super::steps::pod_identity::{self, AssociatePod};
use super::steps::{attachment, grant_role, inline_policy};
use super::{AwsTarget, policy_document};
use crate::claim::Claim;
use crate::throttle::Priority;
use crate::{Drift, Found, Presence, Reconcile, Target, TargetError, step};

/// Everything that removing a managed object needs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrphanRecord {
    account: String,
    object: Orphan,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Orphan {
    InlinePolicy(InlinePolicyRef),
    Role(String),
    PodAssociation(AssociatePod),
}

impl Orphan {
    fn object(&self) -> String {
        match self {
            Self::InlinePolicy(policy) => policy.to_string(),
            Self::Role(role) => format!("role/{role}"),
            Self::PodAssociation(associate) => associate.object(),
        }
    }
}

#[async_trait]
impl Reconcile for AwsTarget {
    async fn survey(&self, scope: &TargetScope) -> Result<Vec<Found>, TargetError> {
        let scope = super::aws_scope(scope)?;
        let api = self.accounts.get(&scope.account)?.reading();
        Ok(match &scope.mode {
            AwsMode::StaticPrincipal(BoundPolicies { principal, .. })
            | AwsMode::DynamicAccessKeys { role: principal, .. } => {
                policies_on(api, Principal::role(principal)).await?
            }
            AwsMode::StaticAccessKeys(BoundPolicies { principal, .. }) => {
                policies_on(api, Principal::user(principal)).await?
            }
            AwsMode::DynamicRole { .. } => grant_roles(api).await?,
            AwsMode::PodIdentity { pod, roles } => {
                let mut found = Vec::from_iter(pod_association(api, scope, pod).await?);
                // The session-deny policies are on the roles that the pods get.
                for (_, role) in roles.iter() {
                    found.extend(policies_on(api, Principal::role(role)).await?);
                }
                found
            }
        })
    }

    async fn remove(&self, found: &Found, now: Timestamp, claim: &Claim) -> Result<String, TargetError> {
        let record = found.data.decode::<OrphanRecord>();
        let OrphanRecord { account, object } = record.map_err(|error| {
            TargetError::refused(format!("the record of `{}` cannot be read: {error}", found.object))
        })?;
        let api = self.accounts.get(&account)?.under(claim);
        Box::pin(async {
            match object {
                Orphan::InlinePolicy(policy) => inline_policy::remove(api, &policy).await,
                Orphan::Role(role) => grant_role::remove(api, &role).await,
                Orphan::PodAssociation(associate) => {
                    pod_identity::remove(api, &self.associations, &found.grant, &associate, now).await
                }
            }
        })
        .await
    }

    async fn drift(&self, grant: &Grant, step: &Step, now: Timestamp) -> Result<Option<Drift>, TargetError> {
        let StepRecord { account, change, .. } = StepRecord::read(step)?;
        let inline = match change {
            AwsStep::IssueSession(_) => return Ok(None),
            AwsStep::PutInlinePolicy(put) => Some(put),
            AwsStep::AttachManagedPolicy(_) | AwsStep::CreateRole(_) | AwsStep::AssociatePod(_) => None,
        };
        if let Presence::Absent { proof, .. } = self.observe(grant, step, now, &Claim::not_needed()).await? {
            let what = format!("removed outside the broker · {proof}");
            return Ok(Some(Drift { object: None, what }));
        }
        let api = self.accounts.get(&account)?.reading();
        match inline {
            Some(put) => attachment::also_attached(api, &put).await,
            None => Ok(None),
        }
    }
}

fn found(api: Api<'_>, grant: GrantId, orphan: Orphan) -> Result<Found, TargetError> {
    let object = object_in(&api.id, &orphan.object());
    let data: StepData = step::encode(&OrphanRecord { account: api.id.clone(), object: orphan })?;
    Ok(Found { grant, object, data, created_at: None, needed_until: None })
}

async fn policies_on(api: Api<'_>, principal: Principal) -> Result<Vec<Found>, TargetError> {
    let mut all = Vec::new();
    for name in inline_policy::list(api, Priority::Normal, &principal).await? {
        let Some(managed) = names::parse(&name) else { continue };
        let policy = InlinePolicyRef { principal: principal.clone(), name };
        all.push(match managed {
            ManagedName::Access(grant) => found(api, grant, Orphan::InlinePolicy(policy))?,
            ManagedName::SessionDeny(grant) => {
                let document = inline_policy::read(api, Priority::Normal, &policy).await?;
                let needed_until = document.as_deref().and_then(policy_document::needed_until);
                Found { needed_until, ..found(api, grant, Orphan::InlinePolicy(policy))? }
            }
        });
    }
    Ok(all)
}

async fn grant_roles(api: Api<'_>) -> Result<Vec<Found>, TargetError> {
    let mut all = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let sending = api.iam.list_roles().path_prefix(names::ROLE_PATH).set_marker(marker.take()).send();
        let page = api.call(Priority::Normal, "iam:ListRoles", sending).await?;
        for role in page.roles() {
            let Some(ManagedName::Access(grant)) = names::parse(role.role_name()) else { continue };
            let created_at = Some(Timestamp::from_secs(role.create_date().secs()));
            let orphan = Orphan::Role(role.role_name().to_owned());
            all.push(Found { created_at, ..found(api, grant, orphan)? });
        }
        marker = page.marker().map(str::to_owned);
        if marker.is_none() {
            return Ok(all);
        }
    }
}

/// The service account's association, if the broker created it.
async fn pod_association(api: Api<'_>, scope: &AwsScope, pod: &Pod) -> Result<Option<Found>, TargetError> {
    let region = scope.region.clone();
    let there = pod_identity::association(api, pod, region.as_deref(), Priority::Normal).await?;
    let Some(there) = there else { return Ok(None) };
    let grant = there.tags().and_then(|tags| tags.get(names::GRANT_TAG));
    let Some(grant) = grant.and_then(|grant| grant.parse().ok()) else { return Ok(None) };
    let role = there.role_arn().unwrap_or_default().to_owned();
    let role = role.try_into().map_err(TargetError::refused)?;
    let created_at = there.created_at().map(|at| Timestamp::from_secs(at.secs()));
    let associate = AssociatePod { pod: pod.clone(), role, region };
    Ok(Some(Found { created_at, ..found(api, grant, Orphan::PodAssociation(associate))? }))
}
