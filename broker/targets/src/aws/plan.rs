//! Plans the steps of a grant, and who enforces its deadline. Reads the account; changes nothing.

use domain::Step;
use domain::aws::{AwsMode, AwsScope, Binding, BoundPolicies, IamArn, IamKind, IamPolicy, Pod};
use domain::boundary::Policies;
use futures_util::future::try_join_all;
use protocol::{EnforcedBy, GrantId, PolicyName, Timestamp};
use serde_json::Value;

use super::accounts::Api;
use super::managed_policies::{self, PolicyCache};
use super::principal::Principal;
use super::step::{AwsStep, StepRecord};
use super::steps::attachment::AttachManagedPolicy;
use super::steps::grant_role::CreateRole;
use super::steps::inline_policy::{InlinePolicyRef, PutInlinePolicy};
use super::steps::pod_identity::AssociatePod;
use super::steps::session::{IssueSession, SessionAccess};
use super::{names, policy_document};
use crate::{Plan, TargetError};

/// The most characters of a session's own policy.
const SESSION_POLICY: usize = 2048;

/// The input of planning.
pub(super) struct Planning<'a> {
    pub(super) api: Api<'a>,
    pub(super) cache: &'a PolicyCache,
    pub(super) scope: &'a AwsScope,
    pub(super) grant: &'a GrantId,
    pub(super) ends: Timestamp,
}

/// A permitted policy, and its document with the deadline.
struct Source<'a> {
    name: &'a PolicyName,
    /// None if the document is in the registration.
    managed: Option<&'a IamArn>,
    /// An error if the document cannot carry the deadline.
    document: Result<String, String>,
}

impl Planning<'_> {
    pub(super) async fn plan(&self) -> Result<Plan, TargetError> {
        match &self.scope.mode {
            AwsMode::StaticPrincipal(bound) => self.bind(Principal::role(&bound.principal), bound).await,
            AwsMode::StaticAccessKeys(bound) => self.bind(Principal::user(&bound.principal), bound).await,
            AwsMode::DynamicAccessKeys { role, policies } => self.session(role, policies),
            AwsMode::DynamicRole { permissions_boundary, policies } => {
                self.grant_role(permissions_boundary.as_ref(), policies).await
            }
            AwsMode::PodIdentity { pod, roles } => self.pod(pod, roles),
        }
    }

    /// The plan if an inline policy turns out not to fit: the same policies attached, where the registration leaves the
    /// choice.
    pub(super) fn attach_instead(&self) -> Option<Plan> {
        let (principal, bound) = match &self.scope.mode {
            AwsMode::StaticPrincipal(bound) => (Principal::role(&bound.principal), bound),
            AwsMode::StaticAccessKeys(bound) => (Principal::user(&bound.principal), bound),
            AwsMode::DynamicAccessKeys { .. } | AwsMode::DynamicRole { .. } | AwsMode::PodIdentity { .. } => {
                return None;
            }
        };
        match bound.binding {
            Binding::Auto => self.attach_all(&principal, &bound.policies).ok(),
            Binding::Inline | Binding::Attach => None,
        }
    }

    /// The policies on a principal that the workload has.
    async fn bind(&self, principal: Principal, bound: &BoundPolicies) -> Result<Plan, TargetError> {
        let BoundPolicies { binding, policies, .. } = bound;
        if *binding == Binding::Attach {
            return self.attach_all(&principal, policies);
        }
        let (quotas, sources) =
            tokio::join!(managed_policies::quotas(self.api, self.cache), self.sources(policies));
        let sources = sources?;
        let room = quotas.of(&principal);
        let documents = sources.iter().flat_map(|source| &source.document);
        let needed: usize = documents.map(|document| policy_document::size(document)).sum();
        let fits = needed <= room && sources.iter().all(|source| source.document.is_ok());
        match (binding, fits) {
            (Binding::Auto | Binding::Inline, true) => {
                let steps = (0..).zip(&sources).map(|(n, source)| self.put(n, &principal, source));
                Ok(Plan { steps: steps.collect::<Result<_, _>>()?, enforced_by: EnforcedBy::Cloud })
            }
            (Binding::Auto | Binding::Attach, false) | (Binding::Attach, true) => {
                self.attach_all(&principal, policies)
            }
            (Binding::Inline, false) => Err(TargetError::refused(does_not_fit(&sources, needed, room))),
        }
    }

    /// The policies attached: for policies that do not fit inline.
    fn attach_all(&self, principal: &Principal, policies: &Policies<IamPolicy>) -> Result<Plan, TargetError> {
        let steps = policies.iter().map(|(name, policy)| match policy {
            IamPolicy::Managed(arn) => {
                let attach = AttachManagedPolicy { principal: principal.clone(), policy: arn.clone() };
                self.step(vec![name.clone()], AwsStep::AttachManagedPolicy(attach))
            }
            IamPolicy::Document(_) => Err(TargetError::refused(format!(
                "`{name}` is a document and does not fit inline: a managed policy could be attached"
            ))),
        });
        Ok(Plan { steps: steps.collect::<Result<_, _>>()?, enforced_by: EnforcedBy::Broker })
    }

    async fn sources<'p>(&self, policies: &'p Policies<IamPolicy>) -> Result<Vec<Source<'p>>, TargetError> {
        try_join_all(policies.iter().map(|(name, policy)| async move {
            let (managed, document) = match policy {
                IamPolicy::Managed(arn) => {
                    let source = managed_policies::document(self.api, self.cache, arn.as_str()).await?;
                    (Some(arn), policy_document::with_deadline(&source, self.ends))
                }
                IamPolicy::Document(document) => {
                    (None, policy_document::with_deadline(document.as_str(), self.ends))
                }
            };
            Ok(Source { name, managed, document: document.map_err(|error| error.to_string()) })
        }))
        .await
    }

    fn step(&self, policies: Vec<PolicyName>, change: AwsStep) -> Result<Step, TargetError> {
        StepRecord { account: self.scope.account.clone(), policies, change }.into_step()
    }

    fn put(&self, n: usize, principal: &Principal, source: &Source<'_>) -> Result<Step, TargetError> {
        let document = source.document.clone().map_err(TargetError::refused)?;
        let name = names::policy(self.grant, n);
        let put = PutInlinePolicy {
            policy: InlinePolicyRef { principal: principal.clone(), name },
            source: source.managed.cloned(),
            document,
        };
        self.step(vec![source.name.clone()], AwsStep::PutInlinePolicy(put))
    }

    /// A session of `role`, narrowed to the policies and the deadline.
    fn session(&self, role: &IamArn, policies: &Policies<IamPolicy>) -> Result<Plan, TargetError> {
        let mut statements = vec![policy_document::deny_after(self.ends)];
        let mut managed = Vec::new();
        for (name, policy) in policies.iter() {
            match policy {
                IamPolicy::Managed(arn) => managed.push(arn.clone()),
                IamPolicy::Document(document) => {
                    let document = policy_document::with_deadline(document.as_str(), self.ends)
                        .map_err(|error| TargetError::refused(format!("`{name}`: {error}")))?;
                    let document: Value = serde_json::from_str(&document).unwrap_or_default();
                    let own = document.get("Statement").and_then(Value::as_array);
                    statements.extend(own.cloned().unwrap_or_default());
                }
            }
        }
        let document = policy_document::of(&statements);
        let size = document.chars().count();
        if size > SESSION_POLICY {
            return Err(TargetError::refused(format!(
                "the session's policy has {size} characters: expected at most {SESSION_POLICY}; a managed policy \
                 (by its ARN) does not count"
            )));
        }
        let issue = self.issue(role.clone(), SessionAccess::Narrowed { document, managed });
        let step = self.step(policies.names().cloned().collect(), issue)?;
        Ok(Plan { steps: vec![step], enforced_by: EnforcedBy::Cloud })
    }

    fn issue(&self, role: IamArn, access: SessionAccess) -> AwsStep {
        let (session, region) = (self.grant.clone(), self.scope.region.clone());
        AwsStep::IssueSession(IssueSession { session, role, access, region })
    }

    /// A role of the grant's own, its policies with the deadline in them, and a session of it.
    async fn grant_role(
        &self,
        permissions_boundary: Option<&IamArn>,
        policies: &Policies<IamPolicy>,
    ) -> Result<Plan, TargetError> {
        let sources = self.sources(policies).await?;
        let all: Vec<PolicyName> = policies.names().cloned().collect();
        let name = names::role(self.grant);
        let (account, path) = (&self.scope.account, names::ROLE_PATH);
        let arn = format!("arn:{}:iam::{account}:role{path}{name}", self.partition());
        let arn = IamArn::parse(&arn, IamKind::Role).map_err(TargetError::refused)?;
        let create = CreateRole { role: name, permissions_boundary: permissions_boundary.cloned() };
        let mut steps = vec![self.step(all.clone(), AwsStep::CreateRole(create))?];
        for (n, source) in (0..).zip(&sources) {
            steps.push(self.put(n, &Principal::role(&arn), source)?);
        }
        steps.push(self.step(all, self.issue(arn, SessionAccess::GrantRole))?);
        Ok(Plan { steps, enforced_by: EnforcedBy::Cloud })
    }

    fn pod(&self, pod: &Pod, roles: &Policies<IamArn>) -> Result<Plan, TargetError> {
        let mut all = roles.iter();
        let (Some((name, role)), None) = (all.next(), all.next()) else {
            return Err(TargetError::refused(format!(
                "a service account has one role: expected one policy, found {}",
                roles.iter().len()
            )));
        };
        let (role, region) = (role.clone(), self.scope.region.clone());
        let associate = AwsStep::AssociatePod(AssociatePod { pod: pod.clone(), role, region });
        let step = self.step(vec![name.clone()], associate)?;
        Ok(Plan { steps: vec![step], enforced_by: EnforcedBy::Broker })
    }

    /// `aws`, `aws-cn`, `aws-us-gov`: by the region, since a registration of this mode names no principal.
    fn partition(&self) -> &'static str {
        match self.scope.region.as_deref() {
            Some(region) if region.starts_with("cn-") => "aws-cn",
            Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
            Some(_) | None => "aws",
        }
    }
}

fn does_not_fit(sources: &[Source<'_>], needed: usize, room: usize) -> String {
    let why = sources.iter().find_map(|source| source.document.as_ref().err());
    why.cloned().unwrap_or_else(|| {
        format!("the policies have {needed} characters: expected at most {room}, what fits inline")
    })
}
