//! Builds the policy documents of the tests.

use serde_json::{Value, json};

/// An instant in the past.
pub const LONG_AGO: &str = "2001-01-01T00:00:00Z";
/// An instant after the end of any test.
pub const FAR_AHEAD: &str = "2099-01-01T00:00:00Z";

/// A policy of these statements.
pub fn policy(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// Allows these actions on every resource.
pub fn allow(actions: &[&str]) -> Value {
    policy(&[json!({"Effect": "Allow", "Action": actions, "Resource": "*"})])
}

/// Allows these actions on every resource, on this condition.
pub fn allow_if(actions: &[&str], condition: Value) -> Value {
    policy(&[json!({"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": condition})])
}

/// Allows these actions on every resource, until this instant (`2030-01-31T12:00:00Z`).
pub fn allow_until(actions: &[&str], deadline: &str) -> Value {
    allow_if(actions, json!({"DateLessThan": {"aws:CurrentTime": deadline}}))
}

/// A trust policy: this principal may assume the role, with tags and a source identity.
pub fn trusts(principal: &str) -> Value {
    trusts_if(principal, json!({}))
}

/// The same, on this condition.
pub fn trusts_if(principal: &str, condition: Value) -> Value {
    policy(&[json!({
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": condition,
    })])
}
