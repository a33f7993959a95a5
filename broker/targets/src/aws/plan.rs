//! From what is permitted to what is done: which steps give it, and who ends it?

use domain::Step;
use domain::aws::{AwsMode, AwsPlace, Binding, IamArn, IamKind, Pod};
use futures_util::future::try_join_all;
use policy::Permit;
use protocol::{EnforcedBy, GrantId, PolicyName, Timestamp};

use super::accounts::Claimed;
use super::names::{self, Action};
use super::{document, fact, policies};
use crate::{Plan, TargetError};

/// What a session's own policy may have.
const SESSION_POLICY: usize = 2048;

/// What has to be known to plan.
pub(super) struct Planning<'a> {
    pub(super) account: Claimed<'a>,
    pub(super) place: &'a AwsPlace,
    pub(super) permit: &'a Permit,
    pub(super) grant: &'a GrantId,
    pub(super) ends: Timestamp,
}

/// A permitted policy, and its document with the deadline in it.
struct Source<'a> {
    name: &'a PolicyName,
    /// None if the registration has the document itself.
    arn: Option<&'a str>,
    /// None if the document cannot carry the deadline, and why.
    document: Result<String, String>,
}

impl Planning<'_> {
    pub(super) async fn plan(&self) -> Result<Plan, TargetError> {
        match &self.place.mode {
            AwsMode::StaticPrincipal { role: principal, binding }
            | AwsMode::StaticAccessKeys { user: principal, binding } => self.bind(principal, *binding).await,
            AwsMode::DynamicAccessKeys { role } => self.session(role).await,
            AwsMode::DynamicRole { permissions_boundary } => self.role(permissions_boundary.as_ref()).await,
            AwsMode::PodIdentity(pod) => self.pod(pod),
        }
    }

    /// The policies on a principal that the workload has already.
    async fn bind(&self, principal: &IamArn, binding: Binding) -> Result<Plan, TargetError> {
        if binding == Binding::Attach {
            return self.attach_all(principal);
        }
        let (quotas, sources) = tokio::join!(policies::quotas(self.account), self.sources());
        let sources = sources?;
        let room = quotas.of(principal.kind());
        let needed: usize =
            sources.iter().flat_map(|source| &source.document).map(|it| document::size(it)).sum();
        let fits = needed <= room && sources.iter().all(|source| source.document.is_ok());
        match (binding, fits) {
            (Binding::Auto | Binding::Inline, true) => {
                let kind = principal.kind();
                let steps =
                    (0..).zip(&sources).map(|(n, source)| self.put(n, kind, principal.name(), source));
                Ok(Plan { steps: steps.collect(), enforced_by: EnforcedBy::Cloud })
            }
            (Binding::Auto | Binding::Attach, false) | (Binding::Attach, true) => self.attach_all(principal),
            (Binding::Inline, false) => Err(TargetError::refused(unfit(&sources, needed, room))),
        }
    }

    /// The same by attaching: what is left where inline policies do not fit.
    pub(super) fn attach_all(&self, principal: &IamArn) -> Result<Plan, TargetError> {
        let steps: Result<Vec<Step>, _> =
            self.permit.policies().iter().map(|(name, arn)| self.attach(principal, name, arn)).collect();
        Ok(Plan { steps: steps?, enforced_by: EnforcedBy::Broker })
    }

    async fn sources(&self) -> Result<Vec<Source<'_>>, TargetError> {
        try_join_all(self.permit.policies().iter().map(|(name, meaning)| async move {
            let is_arn = !meaning.trim_start().starts_with('{');
            let document = if is_arn {
                let source = policies::document(self.account, meaning).await?;
                document::until(&source, self.ends)
            } else {
                document::until(meaning, self.ends)
            };
            Ok(Source {
                name,
                arn: is_arn.then_some(meaning.as_str()),
                document: document.map_err(|unfit| unfit.to_string()),
            })
        }))
        .await
    }

    fn step(&self, action: Action, object: String, gives: &str, facts: &[(&str, &str)]) -> Step {
        let common = [(fact::ACCOUNT, self.place.account.as_str()), (fact::GIVES, gives)];
        let facts = common.iter().chain(facts).filter(|(_, value)| !value.is_empty());
        Step {
            action: action.as_str().to_owned(),
            object: format!("{}:{object}", self.place.account),
            facts: facts.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            shared: false,
        }
    }

    fn put(&self, n: usize, kind: IamKind, principal: &str, source: &Source<'_>) -> Step {
        let policy = names::policy(self.grant, n);
        let object = format!("{}/{principal}/{policy}", kind.as_str());
        let document = source.document.as_deref().unwrap_or_default();
        let facts = [
            (fact::KIND, kind.as_str()),
            (fact::PRINCIPAL, principal),
            (fact::POLICY, &policy),
            (fact::ARN, source.arn.unwrap_or_default()),
            (fact::DOCUMENT, document),
        ];
        self.step(Action::PutPolicy, object, source.name.as_str(), &facts)
    }

    fn attach(&self, principal: &IamArn, name: &PolicyName, arn: &str) -> Result<Step, TargetError> {
        if arn.trim_start().starts_with('{') {
            return Err(TargetError::refused(format!(
                "`{name}` is a document and does not fit inline: a managed policy could be attached"
            )));
        }
        let kind = principal.kind().as_str();
        let facts = [(fact::KIND, kind), (fact::PRINCIPAL, principal.name()), (fact::ARN, arn)];
        let object = format!("{kind}/{}:{arn}", principal.name());
        let step = self.step(Action::AttachPolicy, object, name.as_str(), &facts);
        Ok(Step { shared: true, ..step })
    }

    /// A session of `role`, narrowed to the policies and the deadline.
    async fn session(&self, role: &IamArn) -> Result<Plan, TargetError> {
        let mut statements = vec![document::nothing_after(self.ends)];
        let mut managed = Vec::new();
        for (name, meaning) in self.permit.policies() {
            if meaning.trim_start().starts_with('{') {
                let document = document::until(meaning, self.ends)
                    .map_err(|unfit| TargetError::refused(format!("`{name}`: {unfit}")))?;
                let document: serde_json::Value = serde_json::from_str(&document).unwrap_or_default();
                statements.extend(
                    document.get("Statement").and_then(|all| all.as_array()).cloned().unwrap_or_default(),
                );
            } else {
                managed.push(meaning.as_str());
            }
        }
        let document = document::of(&statements);
        let size = document.chars().count();
        if size > SESSION_POLICY {
            return Err(TargetError::refused(format!(
                "the session's policy has {size} characters: expected at most {SESSION_POLICY}; a managed policy \
                 (by its ARN) does not count"
            )));
        }
        let facts = [
            (fact::PRINCIPAL, role.name()),
            (fact::ARN, role.as_str()),
            (fact::DOCUMENT, &document),
            (fact::MANAGED, &managed.join(" ")),
            (fact::REGION, self.region()),
        ];
        let object = format!("role/{}/{}", role.name(), self.grant);
        let step = self.step(Action::IssueSession, object, &self.gives(), &facts);
        Ok(Plan { steps: vec![step], enforced_by: EnforcedBy::Cloud })
    }

    /// A role of the grant's own, its policies with the deadline in them, and a session of it.
    async fn role(&self, boundary: Option<&IamArn>) -> Result<Plan, TargetError> {
        let sources = self.sources().await?;
        let role = names::role(self.grant);
        let arn =
            format!("arn:{}:iam::{}:role{}{role}", self.partition(), self.place.account, names::ROLE_PATH);
        let facts =
            [(fact::PRINCIPAL, role.as_str()), (fact::BOUNDARY, boundary.map_or("", |arn| arn.as_str()))];
        let mut steps = vec![self.step(Action::CreateRole, format!("role/{role}"), &self.gives(), &facts)];
        if let Some(why) = sources.iter().find_map(|source| source.document.as_ref().err()) {
            return Err(TargetError::refused(why.clone()));
        }
        steps.extend((0..).zip(&sources).map(|(n, source)| self.put(n, IamKind::Role, &role, source)));
        let facts = [
            (fact::PRINCIPAL, role.as_str()),
            (fact::ARN, &arn),
            (fact::EXTERNAL_ID, self.grant.as_str()),
            (fact::REGION, self.region()),
        ];
        let object = format!("role/{role}/{}", self.grant);
        steps.push(self.step(Action::IssueSession, object, &self.gives(), &facts));
        Ok(Plan { steps, enforced_by: EnforcedBy::Cloud })
    }

    fn pod(&self, pod: &Pod) -> Result<Plan, TargetError> {
        let [(name, role)] = self.permit.policies() else {
            return Err(TargetError::refused(format!(
                "a service account has one role: expected one policy, found {}",
                self.permit.policies().len()
            )));
        };
        let Pod { cluster, namespace, service_account } = pod;
        let facts = [
            (fact::CLUSTER, cluster.as_str()),
            (fact::NAMESPACE, namespace),
            (fact::SERVICE_ACCOUNT, service_account),
            (fact::ARN, role),
            (fact::REGION, self.region()),
        ];
        let object = format!("pod/{cluster}/{namespace}/{service_account}");
        let step = self.step(Action::AssociatePod, object, name.as_str(), &facts);
        Ok(Plan { steps: vec![Step { shared: true, ..step }], enforced_by: EnforcedBy::Broker })
    }

    fn gives(&self) -> String {
        self.permit.policies().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn region(&self) -> &str {
        self.place.region.as_deref().unwrap_or_default()
    }

    /// `aws`, `aws-cn`, `aws-us-gov`: by the region, since a registration of this mode names no principal.
    fn partition(&self) -> &'static str {
        match self.region() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }
}

fn unfit(sources: &[Source<'_>], needed: usize, room: usize) -> String {
    let why = sources.iter().find_map(|source| source.document.as_ref().err());
    why.cloned().unwrap_or_else(|| {
        format!("the policies have {needed} characters: expected at most {room}, what fits inline")
    })
}
