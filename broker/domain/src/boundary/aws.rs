//! The schema of a boundary with `target = "aws"`.

use protocol::PolicyName;
use serde::{Deserialize, Serialize};

use super::keys::{Keys, Refused};
use super::{ExclusiveResource, Policies};

mod arn;
mod lasting;
mod policy;

pub use arn::{IamArn, IamKind, is_account};
pub use policy::{IamPolicy, PolicyDocument};

/// An account and how access is provisioned there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsScope {
    /// Twelve digits.
    pub account: String,
    /// For services that have regions, and for the step's `AWS_REGION`.
    pub region: Option<String>,
    /// How access is provisioned, with the permitted policies.
    pub mode: AwsMode,
}

/// How access is provisioned (`auth_mode`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsMode {
    /// The policies are bound to a role that the workload has.
    StaticPrincipal(BoundPolicies),
    /// The policies are bound to a user whose keys the workload has.
    StaticAccessKeys(BoundPolicies),
    /// A session of a role, narrowed to the policies.
    DynamicAccessKeys {
        /// The role.
        role: IamArn,
        /// The permitted policies.
        policies: Policies<IamPolicy>,
    },
    /// A role that exists for one grant, and a session of it.
    DynamicRole {
        /// Bounds every such role, whatever its policies say.
        permissions_boundary: Option<IamArn>,
        /// The permitted policies.
        policies: Policies<IamPolicy>,
    },
    /// A role for a pod's service account.
    PodIdentity {
        /// The service account.
        pod: Pod,
        /// Each policy is a role.
        roles: Policies<IamArn>,
    },
}

/// Policies on a principal that the workload has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundPolicies {
    /// The role or user.
    pub principal: IamArn,
    /// By which kind of change.
    pub binding: Binding,
    /// The permitted policies.
    pub policies: Policies<IamPolicy>,
}

/// One service account in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pod {
    /// The EKS cluster's name.
    pub cluster: String,
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

/// How a policy is bound to a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// Inline where it fits, attached where it does not.
    #[default]
    Auto,
    /// An inline policy of the grant's own, with its deadline in it. Refused where it does not fit.
    Inline,
    /// The managed policy itself, shared by the grants that need it; the broker removes it at the end.
    Attach,
}

impl AwsMode {
    /// Every name in a registration.
    pub const NAMES: &'static [&'static str] =
        &["static-principal", "static-access-keys", "dynamic-access-keys", "dynamic-role", "pod-identity"];

    /// As in a registration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::StaticPrincipal(_) => "static-principal",
            Self::StaticAccessKeys(_) => "static-access-keys",
            Self::DynamicAccessKeys { .. } => "dynamic-access-keys",
            Self::DynamicRole { .. } => "dynamic-role",
            Self::PodIdentity { .. } => "pod-identity",
        }
    }

    /// The permitted policies.
    pub fn policy_names(&self) -> Vec<&PolicyName> {
        match self {
            Self::PodIdentity { roles, .. } => roles.names().collect(),
            Self::StaticPrincipal(BoundPolicies { policies, .. })
            | Self::StaticAccessKeys(BoundPolicies { policies, .. })
            | Self::DynamicAccessKeys { policies, .. }
            | Self::DynamicRole { policies, .. } => policies.names().collect(),
        }
    }
}

impl AwsScope {
    pub(super) fn narrowed_to(&self, names: &[PolicyName]) -> Self {
        let bound = |bound: &BoundPolicies| BoundPolicies {
            principal: bound.principal.clone(),
            binding: bound.binding,
            policies: bound.policies.only(names),
        };
        let mode = match &self.mode {
            AwsMode::StaticPrincipal(all) => AwsMode::StaticPrincipal(bound(all)),
            AwsMode::StaticAccessKeys(all) => AwsMode::StaticAccessKeys(bound(all)),
            AwsMode::DynamicAccessKeys { role, policies } => {
                AwsMode::DynamicAccessKeys { role: role.clone(), policies: policies.only(names) }
            }
            AwsMode::DynamicRole { permissions_boundary, policies } => AwsMode::DynamicRole {
                permissions_boundary: permissions_boundary.clone(),
                policies: policies.only(names),
            },
            AwsMode::PodIdentity { pod, roles } => {
                AwsMode::PodIdentity { pod: pod.clone(), roles: roles.only(names) }
            }
        };
        Self { account: self.account.clone(), region: self.region.clone(), mode }
    }

    pub(super) fn meaning_of(&self, policy: &PolicyName) -> Option<String> {
        let found = |policies: &Policies<IamPolicy>| {
            let (_, meaning) = policies.iter().find(|(name, _)| *name == policy)?;
            Some(match meaning {
                IamPolicy::Managed(arn) => arn.to_string(),
                IamPolicy::Document(document) => document.as_str().to_owned(),
            })
        };
        let (at, meaning) = match &self.mode {
            AwsMode::StaticPrincipal(bound) | AwsMode::StaticAccessKeys(bound) => {
                (bound.principal.to_string(), found(&bound.policies)?)
            }
            AwsMode::DynamicAccessKeys { role, policies } => (role.to_string(), found(policies)?),
            AwsMode::DynamicRole { permissions_boundary, policies } => {
                (permissions_boundary.as_ref().map(ToString::to_string).unwrap_or_default(), found(policies)?)
            }
            AwsMode::PodIdentity { pod: Pod { cluster, namespace, service_account }, roles } => {
                let (_, role) = roles.iter().find(|(name, _)| *name == policy)?;
                (format!("{cluster}/{namespace}/{service_account}"), role.to_string())
            }
        };
        let region = self.region.as_deref().unwrap_or_default();
        Some(format!("aws {} {region} {} {at} {meaning}", self.account, self.mode.as_str()))
    }

    /// EKS allows one association for a service account, and the association does not say for which agent.
    pub(super) fn exclusive_resource(&self) -> Option<ExclusiveResource> {
        match &self.mode {
            AwsMode::PodIdentity { pod: Pod { cluster, namespace, service_account }, .. } => {
                let name = format!("aws:{}:pod/{cluster}/{namespace}/{service_account}", self.account);
                Some(ExclusiveResource { key: "service_account", name })
            }
            AwsMode::StaticPrincipal(_)
            | AwsMode::StaticAccessKeys(_)
            | AwsMode::DynamicAccessKeys { .. }
            | AwsMode::DynamicRole { .. } => None,
        }
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        match &self.mode {
            AwsMode::PodIdentity { .. } => Vec::new(),
            AwsMode::StaticPrincipal(BoundPolicies { policies, .. })
            | AwsMode::StaticAccessKeys(BoundPolicies { policies, .. })
            | AwsMode::DynamicAccessKeys { policies, .. }
            | AwsMode::DynamicRole { policies, .. } => lasting::warnings(policies),
        }
    }
}

pub(crate) fn parse(mut keys: Keys) -> Result<AwsScope, Refused> {
    let account = keys.text("account")?;
    if !is_account(&account) {
        let expected = format!("expected an account's twelve digits, found `{account}`");
        return Err(("account".to_owned(), expected));
    }
    let region = keys.take::<String>("region")?;
    if let Some(region) = region.as_ref().filter(|region| !is_label(region, 32)) {
        return Err(("region".to_owned(), format!("expected one like `eu-west-1`, found `{region}`")));
    }
    let mode = mode(&mut keys, &account)?;
    keys.finish(&format!("auth_mode = \"{}\"", mode.as_str()))?;
    Ok(AwsScope { account, region, mode })
}

fn mode(keys: &mut Keys, account: &str) -> Result<AwsMode, Refused> {
    let mode = keys.text("auth_mode")?;
    match mode.as_str() {
        "static-principal" => Ok(AwsMode::StaticPrincipal(bound(keys, IamKind::Role, account)?)),
        "static-access-keys" => Ok(AwsMode::StaticAccessKeys(bound(keys, IamKind::User, account)?)),
        "dynamic-access-keys" => Ok(AwsMode::DynamicAccessKeys {
            role: principal(keys, IamKind::Role, account)?,
            policies: keys.policies(IamPolicy::parse)?,
        }),
        "dynamic-role" => {
            let key = "permissions_boundary";
            let arn = keys.take::<String>(key)?;
            let arn = arn.map(|arn| IamArn::parse(&arn, IamKind::Policy)).transpose();
            Ok(AwsMode::DynamicRole {
                permissions_boundary: arn.map_err(|problem| (key.to_owned(), problem))?,
                policies: keys.policies(IamPolicy::parse)?,
            })
        }
        "pod-identity" => Ok(AwsMode::PodIdentity {
            // The limits of EKS and Kubernetes.
            pod: Pod {
                cluster: named(keys, "cluster", 100)?,
                namespace: named(keys, "namespace", 63)?,
                service_account: named(keys, "service_account", 253)?,
            },
            roles: keys.policies(|text| match IamArn::parse(text, IamKind::Role) {
                Ok(role) if role.account() == account => Ok(role),
                Ok(role) => Err(format!("`{role}` is not in the account `{account}`")),
                Err(problem) => Err(format!("the role that the pod gets: {problem}")),
            })?,
        }),
        found => {
            let known = AwsMode::NAMES.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
            let problem = format!("expected one of {}, found `{found}`", known.join(", "));
            Err(("auth_mode".to_owned(), problem))
        }
    }
}

fn bound(keys: &mut Keys, kind: IamKind, account: &str) -> Result<BoundPolicies, Refused> {
    let principal = principal(keys, kind, account)?;
    let binding = keys.take::<Binding>("binding")?.unwrap_or_default();
    let policies = keys.policies(|text| match (IamPolicy::parse(text)?, binding) {
        (IamPolicy::Document(_), Binding::Attach) => {
            let expected = "expected a managed policy's ARN, or `binding = \"inline\"`";
            Err(format!("a document cannot be attached: {expected}"))
        }
        (policy, Binding::Auto | Binding::Inline | Binding::Attach) => Ok(policy),
    })?;
    Ok(BoundPolicies { principal, binding, policies })
}

fn principal(keys: &mut Keys, kind: IamKind, account: &str) -> Result<IamArn, Refused> {
    let refused = |problem: String| ("principal".to_owned(), problem);
    let arn = IamArn::parse(&keys.text("principal")?, kind).map_err(refused)?;
    if arn.account() != account {
        return Err(refused(format!("`{arn}` is not in the account `{account}`")));
    }
    Ok(arn)
}

/// One name, compared exactly: a pattern would let one workload use another's service account.
fn named(keys: &mut Keys, key: &'static str, longest: usize) -> Result<String, Refused> {
    let found = keys.text(key)?;
    if is_label(&found, longest) {
        return Ok(found);
    }
    let problem =
        format!("expected one name of at most {longest} letters, digits, `-`, `_` and `.`, found `{found}`");
    Err((key.to_owned(), problem))
}

fn is_label(text: &str, longest: usize) -> bool {
    !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
