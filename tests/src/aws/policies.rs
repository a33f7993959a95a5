//! What do the policies look like that tests need?

use serde_json::{Value, json};

/// A moment that has passed.
pub const LONG_AGO: &str = "2001-01-01T00:00:00Z";
/// A moment that no test lives to see.
pub const FAR_AHEAD: &str = "2099-01-01T00:00:00Z";

/// These statements.
pub fn policy(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// These actions on everything.
pub fn allow(actions: &[&str]) -> Value {
    policy(&[json!({"Effect": "Allow", "Action": actions, "Resource": "*"})])
}

/// These actions on everything, on this condition.
pub fn allow_if(actions: &[&str], condition: Value) -> Value {
    policy(&[json!({"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": condition})])
}

/// These actions on everything, until this moment (`2030-01-31T12:00:00Z`).
pub fn allow_until(actions: &[&str], deadline: &str) -> Value {
    allow_if(actions, json!({"DateLessThan": {"aws:CurrentTime": deadline}}))
}

/// A role that this principal may assume, with tags and a source identity.
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
