//! The built-in target: signed tokens whose claims carry the permitted scopes.
//!
//! A resource server verifies the JWT by the broker's JWKS and reads its claims. The deadline is in the token, so it ends
//! without the broker. A resource server that refuses a revoked grant at once asks the broker (RFC 7662 introspection),
//! which answers from the grant's state. Nothing changes outside the broker, so a revert changes nothing either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use domain::boundary::Policies;
use domain::boundary::token::OauthScope;
use domain::{Grant, Step, TargetKind, TargetScope};
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, PolicyName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use signing::{Issuer, TokenClaims};

use crate::claim::Claim;
use crate::{LateWrites, Plan, Presence, Removal, Target, TargetError, step};

/// The claim that carries the grant's id.
pub const GRANT_ID: &str = "grant_id";

/// The data of the only step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueToken {
    /// The token's scopes, separated by spaces (RFC 6749).
    scope: String,
}

/// Issues tokens.
pub struct TokenTarget {
    issuer: Arc<Issuer>,
}

impl TokenTarget {
    /// Signs tokens with this issuer's keys.
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
            data: step::encode(&IssueToken { scope: scope(scopes(permit)?) })?,
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
        let IssueToken { scope } = step::decode(step)?;
        Ok(format!("token issued · {scope} · until {}", grant.expires_at.time_of_day()))
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
            .sign(claims(&by_policy(scopes(permit)?), grant), now)
            .map_err(|error| TargetError::refused(error.to_string()))?;
        Ok(Credentials::Token { token })
    }
}

fn scopes(permit: &Permit) -> Result<&Policies<OauthScope>, TargetError> {
    match permit.scope() {
        TargetScope::Token(scope) => Ok(&scope.policies),
        TargetScope::Aws(_) => Err(TargetError::refused("the permit is not for a token")),
    }
}

/// The claims of the grant's token, from the stored grant: a stolen signing key cannot claim more for a grant
/// that is live. None for a grant of another target.
pub fn claims_of(grant: &Grant) -> Option<TokenClaims> {
    let IssueToken { scope } = step::decode(grant.steps.first()?).ok()?;
    let policies: BTreeSet<&PolicyName> = grant.policies.iter().collect();
    let scopes: Vec<&str> = scope.split(' ').collect();
    let pairs: Vec<_> = policies.into_iter().zip(scopes.iter().copied()).collect();
    (pairs.len() == scopes.len()).then(|| claims(&pairs, grant))
}

/// In the order of the policies' names.
fn by_policy(policies: &Policies<OauthScope>) -> Vec<(&PolicyName, &str)> {
    policies.iter().map(|(policy, scope)| (policy, scope.as_str())).collect()
}

/// RFC 6749: the scopes, separated by spaces.
fn scope(policies: &Policies<OauthScope>) -> String {
    policies.iter().map(|(_, scope)| scope.as_str()).collect::<Vec<_>>().join(" ")
}

/// `orders:read` permits the action `read` on the resource `orders`. The meaning of a scope without a colon is up to its
/// resource server.
fn resource_and_action(scope: &str) -> (&str, Option<&str>) {
    match scope.rsplit_once(':') {
        Some((resource, action)) if !resource.is_empty() && !action.is_empty() => (resource, Some(action)),
        _ => (scope, None),
    }
}

/// `aud` names the resources, so that a token for one resource is refused by another. `authorization_details` is RFC 9396.
fn claims(policies: &[(&PolicyName, &str)], grant: &Grant) -> TokenClaims {
    let mut audiences = Vec::new();
    let mut details = Vec::new();
    for (policy, scope) in policies {
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
    let joined = policies.iter().map(|(_, scope)| *scope).collect::<Vec<_>>().join(" ");
    let provenance = &grant.provenance;
    let mut more: BTreeMap<String, Value> = [
        ("jti".to_owned(), json!(grant.id)),
        (GRANT_ID.to_owned(), json!(grant.id)),
        ("client_id".to_owned(), json!(grant.agent_id)),
        ("scope".to_owned(), json!(joined)),
        ("authorization_details".to_owned(), Value::Array(details)),
    ]
    .into();
    // The broker signs only facts that an issuer signed.
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
        issued_at: grant.begins_at(),
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
