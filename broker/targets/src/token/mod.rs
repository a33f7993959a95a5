//! The built-in target: how does a signed token carry permission?
//!
//! Whoever serves the resource verifies the JWT from the broker's JWKS and reads what it permits; the deadline
//! is in it, so it ends without us. To have a revoked grant refused at once, they ask the broker
//! (RFC 7662 introspection), which answers from the grant's state. Nothing is changed anywhere else, so
//! undoing is knowing that the grant is no longer active.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::{Grant, Step, TargetKind};
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, Timestamp};
use serde_json::{Value, json};
use signing::{Issuer, TokenClaims};

use crate::claim::Claim;
use crate::{LateWrites, Plan, Presence, Removal, Target, TargetError};

/// The claim that carries the grant's id.
pub const GRANT_ID: &str = "grant_id";

/// The fact that carries the token's scopes.
const SCOPE: &str = "scope";

/// Issues the tokens.
pub struct TokenTarget {
    issuer: Arc<Issuer>,
}

impl TokenTarget {
    /// Tokens of this issuer.
    pub fn new(issuer: Arc<Issuer>) -> Self {
        Self { issuer }
    }
}

#[async_trait]
impl Target for TokenTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Token
    }

    fn late_writes(&self) -> LateWrites {
        LateWrites::Impossible
    }

    async fn plan(&self, permit: &Permit, id: &GrantId, _ends: Timestamp) -> Result<Plan, TargetError> {
        let step = Step {
            action: "issue-token".to_owned(),
            object: id.to_string(),
            facts: [(SCOPE.to_owned(), scope(permit))].into(),
            shared: false,
        };
        Ok(Plan { steps: vec![step], enforced_by: EnforcedBy::Cloud })
    }

    async fn apply(
        &self,
        grant: &Grant,
        step: &Step,
        _now: Timestamp,
        _claim: &Claim,
    ) -> Result<String, TargetError> {
        Ok(format!("token issued · {} · until {}", step.fact(SCOPE), grant.expires_at.time_of_day()))
    }

    async fn revert(&self, _: &Grant, _: &Step, _: Timestamp, _: &Claim) -> Result<Removal, TargetError> {
        Ok(Removal::confirmed("token refused from now on"))
    }

    async fn observe(
        &self,
        _grant: &Grant,
        _step: &Step,
        _now: Timestamp,
        _claim: &Claim,
    ) -> Result<Presence, TargetError> {
        Ok(Presence::absent("token refused from now on"))
    }

    async fn credentials(
        &self,
        permit: &Permit,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Credentials, TargetError> {
        let token = self
            .issuer
            .sign(claims(permit, grant), now)
            .map_err(|error| TargetError::refused(error.to_string()))?;
        Ok(Credentials::Token { token })
    }
}

/// RFC 6749: the scopes, space-separated.
fn scope(permit: &Permit) -> String {
    permit.policies().iter().map(|(_, scope)| scope.as_str()).collect::<Vec<_>>().join(" ")
}

/// A scope `orders:read` permits the action `read` on the resource `orders`; one without a colon permits
/// whatever its resource takes it to mean.
fn resource_and_action(scope: &str) -> (&str, Option<&str>) {
    match scope.rsplit_once(':') {
        Some((resource, action)) if !resource.is_empty() && !action.is_empty() => (resource, Some(action)),
        _ => (scope, None),
    }
}

/// What the token says. `aud` names the resources, so that a token for one resource is no use at another;
/// `authorization_details` is RFC 9396.
fn claims(permit: &Permit, grant: &Grant) -> TokenClaims {
    let mut audiences = Vec::new();
    let mut details = Vec::new();
    for (policy, scope) in permit.policies() {
        let (resource, action) = resource_and_action(scope);
        if !audiences.iter().any(|audience| audience == resource) {
            audiences.push(resource.to_owned());
        }
        let mut detail = json!({ "type": "cloudanix-jit", "policy": policy, "identifier": resource });
        if let (Some(fields), Some(action)) = (detail.as_object_mut(), action) {
            fields.insert("actions".to_owned(), json!([action]));
        }
        details.push(detail);
    }
    let provenance = &grant.provenance;
    let mut more: BTreeMap<String, Value> = [
        ("jti".to_owned(), json!(grant.id)),
        (GRANT_ID.to_owned(), json!(grant.id)),
        ("client_id".to_owned(), json!(grant.agent_id)),
        ("scope".to_owned(), json!(scope(permit))),
        ("authorization_details".to_owned(), Value::Array(details)),
    ]
    .into();
    // Only what an issuer signed goes into what we sign.
    more.insert(
        "provenance".to_owned(),
        json!({
            "trust": provenance.trust,
            "platform": provenance.platform,
            "issuer": provenance.issuer,
            "subject": provenance.subject,
            "signed": provenance.signed,
        }),
    );
    TokenClaims {
        subject: grant.agent_id.to_string(),
        audiences,
        issued_at: grant.requested_at,
        expires_at: grant.expires_at,
        more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_resource_and_action() {
        assert_eq!(resource_and_action("orders:read"), ("orders", Some("read")));
        assert_eq!(resource_and_action("urn:orders:read"), ("urn:orders", Some("read")));
        for whole in ["admin", ":read", "orders:"] {
            assert_eq!(resource_and_action(whole), (whole, None));
        }
    }
}
