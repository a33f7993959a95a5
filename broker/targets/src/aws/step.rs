//! The typed steps of this target, as a grant's record carries them.

use domain::Step;
use protocol::PolicyName;
use serde::{Deserialize, Serialize};

use super::steps::attachment::AttachManagedPolicy;
use super::steps::grant_role::CreateRole;
use super::steps::inline_policy::PutInlinePolicy;
use super::steps::pod_identity::AssociatePod;
use super::steps::session::IssueSession;
use crate::TargetError;

/// Everything that applying, reverting and observing a step needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepRecord {
    /// The account's twelve digits.
    pub(super) account: String,
    /// The policies that the step provisions, for receipts.
    pub(super) policies: Vec<PolicyName>,
    pub(super) change: AwsStep,
}

/// One change in an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AwsStep {
    PutInlinePolicy(PutInlinePolicy),
    AttachManagedPolicy(AttachManagedPolicy),
    CreateRole(CreateRole),
    IssueSession(IssueSession),
    AssociatePod(AssociatePod),
}

impl AwsStep {
    /// Names the change in the timeline and in metrics.
    fn action(&self) -> &'static str {
        match self {
            Self::PutInlinePolicy(_) => "put-policy",
            Self::AttachManagedPolicy(_) => "attach-policy",
            Self::CreateRole(_) => "create-role",
            Self::IssueSession(_) => "issue-session",
            Self::AssociatePod(_) => "associate-pod",
        }
    }

    /// Within its account.
    fn object(&self) -> String {
        match self {
            Self::PutInlinePolicy(put) => put.policy.to_string(),
            Self::AttachManagedPolicy(attach) => attach.object(),
            Self::CreateRole(create) => format!("role/{}", create.role),
            Self::IssueSession(issue) => issue.object(),
            Self::AssociatePod(associate) => associate.object(),
        }
    }

    /// Whether grants can share the object: it has no name that contains the grant's id.
    fn is_shared(&self) -> bool {
        match self {
            Self::AttachManagedPolicy(_) | Self::AssociatePod(_) => true,
            Self::PutInlinePolicy(_) | Self::CreateRole(_) | Self::IssueSession(_) => false,
        }
    }
}

impl StepRecord {
    pub(super) fn read(step: &Step) -> Result<Self, TargetError> {
        crate::step::decode(step)
    }

    pub(super) fn into_step(self) -> Result<Step, TargetError> {
        Ok(Step {
            action: self.change.action().to_owned(),
            object: object_in(&self.account, &self.change.object()),
            data: crate::step::encode(&self)?,
            shared: self.change.is_shared(),
        })
    }

    /// `ecs-deploy, logs-read`
    pub(super) fn policy_names(&self) -> String {
        self.policies.iter().map(PolicyName::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// The name of an object in an account, unique over all accounts.
pub(super) fn object_in(account: &str, object: &str) -> String {
    format!("{account}:{object}")
}

#[cfg(test)]
mod tests {
    use super::super::principal::Principal;
    use super::super::steps::inline_policy::InlinePolicyRef;
    use super::*;

    fn put() -> StepRecord {
        StepRecord {
            account: "123456789012".to_owned(),
            policies: vec!["ecs-deploy".parse().unwrap()],
            change: AwsStep::PutInlinePolicy(PutInlinePolicy {
                policy: InlinePolicyRef {
                    principal: Principal::Role("deploy".to_owned()),
                    name: "jit-elev-1".to_owned(),
                },
                source: None,
                document: "{}".to_owned(),
            }),
        }
    }

    #[test]
    fn a_step_is_read_as_it_was_written() {
        let step = put().into_step().unwrap();
        assert_eq!(
            (step.action.as_str(), step.object.as_str(), step.shared),
            ("put-policy", "123456789012:role/deploy/jit-elev-1", false)
        );
        let stored: Step = serde_json::from_str(&serde_json::to_string(&step).unwrap()).unwrap();
        assert_eq!(StepRecord::read(&stored).unwrap(), put());
    }

    #[test]
    fn a_record_that_cannot_be_read_is_refused_with_the_reason() {
        let step = put().into_step().unwrap();
        let stored = serde_json::to_string(&step).unwrap();
        for (from, to, reason) in [
            ("\"document\"", "\"documents\"", "unknown field `documents`"),
            ("put_inline_policy", "put_policy", "unknown variant `put_policy`"),
            ("{\"role\":\"deploy\"}", "{\"group\":\"deploy\"}", "unknown variant `group`"),
        ] {
            assert!(stored.contains(from), "{stored}");
            let broken = serde_json::from_str(&stored.replace(from, to)).unwrap();
            let error = StepRecord::read(&broken).unwrap_err();
            assert!(error.what.contains(reason), "{}", error.what);
            assert!(error.what.contains("step `put-policy` of `123456789012:"), "{}", error.what);
        }
        let mut stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
        stored["data"]["change"]["put_inline_policy"].as_object_mut().unwrap().remove("document").unwrap();
        let error = StepRecord::read(&serde_json::from_value(stored).unwrap()).unwrap_err();
        assert!(error.what.contains("missing field `document`"), "{}", error.what);
    }
}
