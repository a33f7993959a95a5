//! What in an account has our names on it? For the reconciler, which knows which grants live.

use domain::aws::{AwsMode, AwsPlace, IamKind};
use domain::{Boundary, Place, Step};
use protocol::{GrantId, Timestamp};

use super::accounts::Claimed;
use super::bound_policy::{self, Spot};
use super::call::{Failure, call};
use super::gate::Urgency;
use super::grant_role::inline_policies;
use super::names::{self, Action, Ours};
use super::{document, fact, pod};
use crate::Found;

/// Everything of ours within one boundary.
pub(super) async fn survey(
    account: Claimed<'_>,
    place: &AwsPlace,
    boundary: &Boundary,
) -> Result<Vec<Found>, Failure> {
    match &place.mode {
        AwsMode::StaticPrincipal { role: principal, .. }
        | AwsMode::StaticAccessKeys { user: principal, .. }
        | AwsMode::DynamicAccessKeys { role: principal } => {
            on_principal(account, principal.kind(), principal.name()).await
        }
        AwsMode::DynamicRole { .. } => own_roles(account).await,
        AwsMode::PodIdentity(one) => {
            let probe = step(
                account,
                Action::AssociatePod,
                format!("pod/{}/{}/{}", one.cluster, one.namespace, one.service_account),
                &[
                    (fact::CLUSTER, &one.cluster),
                    (fact::NAMESPACE, &one.namespace),
                    (fact::SERVICE_ACCOUNT, &one.service_account),
                    (fact::REGION, place.region.as_deref().unwrap_or_default()),
                ],
            );
            let mut found = Vec::new();
            if let Some(there) = pod::association(account, &probe, Urgency::Give).await? {
                let grant = there.tags().and_then(|tags| tags.get(names::GRANT_TAG));
                if let Some(grant) = grant.and_then(|grant| grant.parse().ok()) {
                    let mut step = Step { shared: true, ..probe };
                    let role = there.role_arn().unwrap_or_default().to_owned();
                    step.facts.insert(fact::ARN.to_owned(), role);
                    let made_at = there.created_at().map(|at| Timestamp::from_secs(at.secs()));
                    found.push(Found { grant, step, made_at, needed_until: None });
                }
            }
            // The roles that the pods were given, and on them what refuses what they hold.
            for role in boundary.policies.values() {
                let name = role.rsplit('/').next().unwrap_or_default();
                found.extend(on_principal(account, IamKind::Role, name).await?);
            }
            Ok(found)
        }
    }
}

/// What this is about, for a boundary of AWS.
pub(super) fn place(boundary: &Boundary) -> Option<&AwsPlace> {
    match &boundary.place {
        Place::Aws(place) => Some(place),
        Place::Token => None,
    }
}

fn step(account: Claimed<'_>, action: Action, object: String, facts: &[(&str, &str)]) -> Step {
    let common = [(fact::ACCOUNT, account.id.as_str())];
    let facts = common.iter().chain(facts).filter(|(_, value)| !value.is_empty());
    Step {
        action: action.as_str().to_owned(),
        object: format!("{}:{object}", account.id),
        facts: facts.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        shared: false,
    }
}

async fn on_principal(account: Claimed<'_>, kind: IamKind, principal: &str) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for policy in inline_policies(account, Urgency::Give, kind, principal).await? {
        let Some(ours) = names::read(&policy) else { continue };
        let (grant, needed_until): (GrantId, Option<Timestamp>) = match ours {
            Ours::Policy(grant) => (grant, None),
            Ours::Deny(grant) => {
                let spot = Spot { kind, principal, policy: &policy };
                let document = bound_policy::read(account, Urgency::Give, spot).await?;
                (grant, document.as_deref().and_then(document::needed_until))
            }
        };
        let facts = [(fact::KIND, kind.as_str()), (fact::PRINCIPAL, principal), (fact::POLICY, &policy)];
        let object = format!("{}/{principal}/{policy}", kind.as_str());
        let step = step(account, Action::PutPolicy, object, &facts);
        found.push(Found { grant, step, made_at: None, needed_until });
    }
    Ok(found)
}

async fn own_roles(account: Claimed<'_>) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let asking = account.iam.list_roles().path_prefix(names::ROLE_PATH);
        let asking = asking.set_marker(marker.take()).send();
        let page = call(account, Urgency::Give, "iam:ListRoles", asking).await?;
        for role in page.roles() {
            let Some(Ours::Policy(grant)) = names::read(role.role_name()) else { continue };
            let facts = [(fact::PRINCIPAL, role.role_name())];
            let object = format!("role/{}", role.role_name());
            let step = step(account, Action::CreateRole, object, &facts);
            let made_at = Some(Timestamp::from_secs(role.create_date().secs()));
            found.push(Found { grant, step, made_at, needed_until: None });
        }
        marker = page.marker().map(str::to_owned);
        if marker.is_none() {
            return Ok(found);
        }
    }
}
