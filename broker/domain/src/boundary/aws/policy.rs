//! A policy of a boundary in AWS: a managed policy, or a document in the registration itself.

use serde_json::Value;

use super::arn::{IamArn, IamKind};

/// A permitted policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IamPolicy {
    /// A managed policy.
    Managed(IamArn),
    /// A document in the registration.
    Document(PolicyDocument),
}

/// A policy document (JSON) that was checked at registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument(String);

impl IamPolicy {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            return PolicyDocument::parse(text).map(Self::Document);
        }
        let arn = IamArn::parse(text, IamKind::Policy);
        arn.map(Self::Managed).map_err(|problem| format!("{problem}, or a policy document (JSON)"))
    }
}

impl PolicyDocument {
    /// As it is registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Finds typing errors at registration; IAM checks the rest.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| format!("the document is not JSON: {error}"))?;
        let statements = match document.get("Statement") {
            Some(Value::Array(all)) if !all.is_empty() => all.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err("the document has no `Statement`: expected at least one".to_owned()),
        };
        for (n, statement) in statements.iter().enumerate() {
            let effect = statement.get("Effect").and_then(Value::as_str).unwrap_or_default();
            if effect != "Allow" && effect != "Deny" {
                return Err(format!("Statement[{n}].Effect: expected `Allow` or `Deny`, found `{effect}`"));
            }
            if statement.get("Principal").is_some() || statement.get("NotPrincipal").is_some() {
                return Err(format!("Statement[{n}] names a principal: the grant chooses it"));
            }
        }
        Ok(Self(text.to_owned()))
    }
}
