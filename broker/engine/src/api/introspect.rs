//! Introspection (RFC 7662): a service checks whether a token's grant is active.

use domain::Grant;
use protocol::{GrantId, GrantStatus, Secret};
use serde::Serialize;
use serde_json::Value;
use signing::TokenClaims;

use crate::{Engine, Refusal};

/// The response. For a token that is unknown, expired or revoked, `{"active": false}` and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Introspection {
    /// Whether the grant is active.
    pub active: bool,
    /// The claims of the token, if it is active.
    #[serde(flatten)]
    pub claims: Option<serde_json::Map<String, Value>>,
}

impl Engine {
    /// Decides by the state of the grant, so that a revoke takes effect at once.
    pub async fn introspect(
        &self,
        bearer: Option<&Secret>,
        token: &Secret,
    ) -> Result<Introspection, Refusal> {
        let by = self.introspector(bearer)?;
        tracing::debug!(%by, "introspection");
        let now = self.clock.now();
        let Ok(claims) = self.issuer.verify(token.reveal(), now) else {
            return Ok(Introspection::default());
        };
        let id = claims.more.get(targets::token::GRANT_ID).and_then(Value::as_str);
        let Some(id) = id.and_then(|id| id.parse::<GrantId>().ok()) else {
            return Ok(Introspection::default());
        };
        let record = self.store.grant(&id).await?;
        let active = record.is_some_and(|record| {
            record.grant.status() == GrantStatus::Active
                && now < record.grant.expires_at
                && is_token_of(&claims, &record.grant)
        });
        Ok(if active {
            Introspection { active: true, claims: Some(self.response(claims)) }
        } else {
            Introspection::default()
        })
    }

    /// The claims of the token.
    fn response(&self, claims: TokenClaims) -> serde_json::Map<String, Value> {
        let mut response: serde_json::Map<String, Value> = claims.more.into_iter().collect();
        response.insert("iss".to_owned(), self.issuer.url().into());
        response.insert("sub".to_owned(), claims.subject.into());
        response.insert("aud".to_owned(), claims.audiences.into());
        response.insert("iat".to_owned(), claims.issued_at.as_secs().into());
        response.insert("exp".to_owned(), claims.expires_at.as_secs().into());
        response.insert("token_type".to_owned(), "Bearer".into());
        response
    }
}

/// Whether the token says what the grant's own token does. With a valid signature it is otherwise signed with a stolen key.
fn is_token_of(claims: &TokenClaims, grant: &Grant) -> bool {
    let same = targets::token::claims_of(grant).is_some_and(|own| {
        own.subject == claims.subject
            && own.audiences == claims.audiences
            && own.issued_at.as_secs() == claims.issued_at.as_secs()
            && own.expires_at.as_secs() == claims.expires_at.as_secs()
            && own.more == claims.more
    });
    if !same {
        tracing::error!(grant = %grant.id, "a signed token differs from the grant's: a signing key may be stolen");
    }
    same
}
