//! Warns the operator of permitted actions that create access which outlives the grant.
//!
//! Only documents in the registration are checked: a managed policy can change at any time.

use protocol::PolicyName;
use serde_json::Value;

use super::IamPolicy;
use crate::boundary::Policies;

/// Actions that create lasting access: a session, a key, a policy, a role's trust.
const LASTING: [&str; 17] = [
    "iam:AddUserToGroup",
    "iam:AttachGroupPolicy",
    "iam:AttachRolePolicy",
    "iam:AttachUserPolicy",
    "iam:CreateAccessKey",
    "iam:CreateLoginProfile",
    "iam:CreatePolicyVersion",
    "iam:CreateRole",
    "iam:CreateUser",
    "iam:PassRole",
    "iam:PutGroupPolicy",
    "iam:PutRolePolicy",
    "iam:PutUserPolicy",
    "iam:SetDefaultPolicyVersion",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateLoginProfile",
    "sts:AssumeRole",
];
/// The most actions that one warning names.
const NAMED: usize = 3;

/// One warning for each document that allows any of them.
pub(super) fn warnings(policies: &Policies<IamPolicy>) -> Vec<String> {
    let one = |(name, policy): (&PolicyName, &IamPolicy)| match policy {
        IamPolicy::Managed(_) => None,
        IamPolicy::Document(document) => warning(name.as_str(), &lasting(document.as_str())),
    };
    policies.iter().filter_map(one).collect()
}

fn warning(policy: &str, actions: &[&str]) -> Option<String> {
    let (named, others) = actions.split_at(actions.len().min(NAMED));
    let named = named.join("`, `");
    let allowed = match (actions.len(), others.len()) {
        (0, _) => return None,
        (_, 0) => format!("`{named}`"),
        (_, more) => format!("`{named}` and {more} more"),
    };
    Some(format!("policy `{policy}` allows {allowed}: what these create outlives the grant and its revoke"))
}

/// The actions of [`LASTING`] that a document allows, whatever it denies.
fn lasting(document: &str) -> Vec<&'static str> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let statements = one_or_more(document.get("Statement"));
    let allows: Vec<&Value> =
        statements.into_iter().filter(|statement| statement.get("Effect") == Some(&"Allow".into())).collect();
    let is_allowed = |action: &str| allows.iter().any(|statement| covers(statement, action));
    LASTING.into_iter().filter(|action| is_allowed(action)).collect()
}

fn covers(statement: &Value, action: &str) -> bool {
    let named = |field: &str| {
        let patterns = one_or_more(statement.get(field));
        patterns.iter().filter_map(|pattern| pattern.as_str()).any(|pattern| matches(pattern, action))
    };
    match statement.get("NotAction") {
        Some(_) => !named("NotAction"),
        None => named("Action"),
    }
}

/// IAM writes a list of one without brackets.
fn one_or_more(field: Option<&Value>) -> Vec<&Value> {
    match field {
        Some(Value::Array(all)) => all.iter().collect(),
        one => one.into_iter().collect(),
    }
}

/// As IAM compares actions: `*` and `?`, without regard to case.
fn matches(pattern: &str, action: &str) -> bool {
    let mut rest = pattern.chars();
    let mut left = action.chars();
    match (rest.next(), left.next()) {
        (None, None) => true,
        (Some('*'), first) => {
            matches(rest.as_str(), action) || (first.is_some() && matches(pattern, left.as_str()))
        }
        (Some('?'), Some(_)) => matches(rest.as_str(), left.as_str()),
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(&other) && matches(rest.as_str(), left.as_str()),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(actions: &str) -> Vec<&'static str> {
        lasting(&format!(r#"{{"Statement":[{{"Effect":"Allow","Action":{actions},"Resource":"*"}}]}}"#))
    }

    #[test]
    fn actions_that_create_lasting_access_are_found_however_they_are_written() {
        assert_eq!(allowed(r#""sts:AssumeRole""#), ["sts:AssumeRole"]);
        assert_eq!(allowed(r#"["s3:GetObject", "STS:assume*"]"#), ["sts:AssumeRole"]);
        assert_eq!(allowed(r#""iam:Create?ccess*""#), ["iam:CreateAccessKey"]);
        assert_eq!(allowed(r#""sts:*""#), ["sts:AssumeRole"]);
        assert_eq!(allowed(r#""iam:*""#).len(), LASTING.len() - 1);
        assert_eq!(allowed(r#""*""#), LASTING);
        let all_but = r#"{"Statement":{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}}"#;
        assert_eq!(lasting(all_but), ["sts:AssumeRole"]);
    }

    #[test]
    fn other_documents_cause_no_warning() {
        assert_eq!(
            allowed(r#"["iam:GetRole", "sts:GetCallerIdentity", "s3:*", "sts:AssumeRoleWithSAML"]"#),
            [""; 0]
        );
        let denied = r#"{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;
        assert_eq!(lasting(denied), [""; 0]);
        assert_eq!(warning("quiet", &[]), None);
    }

    #[test]
    fn a_warning_names_the_policy_and_a_few_actions() {
        let text = warning("cdk", &["iam:PassRole", "sts:AssumeRole"]).unwrap();
        assert_eq!(
            text,
            "policy `cdk` allows `iam:PassRole`, `sts:AssumeRole`: what these create outlives the grant and its revoke"
        );
        let text = warning("admin", &LASTING).unwrap();
        assert!(text.contains("`iam:AttachRolePolicy` and 14 more"), "{text}");
    }
}
