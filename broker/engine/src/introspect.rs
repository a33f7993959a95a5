//! Is this token's grant active this moment? RFC 7662, for whoever serves the resource.

use protocol::{GrantId, GrantStatus, Secret};
use serde::Serialize;
use serde_json::Value;
use signing::TokenClaims;

use crate::{Engine, Refusal};

/// The answer. A token that is not ours, has expired or was revoked is `{"active": false}` and no more.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Introspection {
    /// Whether it permits anything now.
    pub active: bool,
    /// Everything that the token says, when it does.
    #[serde(flatten)]
    pub claims: Option<serde_json::Map<String, Value>>,
}

impl Engine {
    /// Answers from the grant's state, so that a revoked grant is refused at once.
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
        let stored = self.store.grant(&id).await?;
        let active = stored.is_some_and(|stored| {
            stored.grant.status() == GrantStatus::Active && now < stored.grant.expires_at
        });
        Ok(if active {
            Introspection { active: true, claims: Some(self.as_answer(claims)) }
        } else {
            Introspection::default()
        })
    }

    fn as_answer(&self, claims: TokenClaims) -> serde_json::Map<String, Value> {
        let mut answer: serde_json::Map<String, Value> = claims.more.into_iter().collect();
        answer.insert("iss".to_owned(), self.issuer.url().into());
        answer.insert("sub".to_owned(), claims.subject.into());
        answer.insert("aud".to_owned(), claims.audiences.into());
        answer.insert("iat".to_owned(), claims.issued_at.as_secs().into());
        answer.insert("exp".to_owned(), claims.expires_at.as_secs().into());
        answer.insert("token_type".to_owned(), "Bearer".into());
        answer
    }
}
