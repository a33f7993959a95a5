//! Signs the broker's tokens, and verifies them for introspection.
//!
//! Signs with Ed25519 through `openidconnect`, which also verifies. The newest key that was published long enough signs;
//! older keys stay in the JWKS until every token that they signed has expired.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ed25519_dalek::pkcs8::EncodePrivateKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use openidconnect::core::{
    CoreEdDsaPrivateSigningKey, CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
};
use openidconnect::{
    AdditionalClaims, Audience, ClientId, IdToken, IdTokenClaims, IdTokenVerifier, IssuerUrl, JsonWebKeyId,
    JsonWebKeySet, PrivateSigningKey, StandardClaims, SubjectIdentifier,
};
use protocol::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a new key is in the JWKS before it signs, so that verifiers with a cached JWKS have it by then. The first key
/// of a broker signs at once.
pub const PUBLISHED_FIRST: Duration = Duration::from_secs(10 * 60);

/// One private key.
pub struct SigningKey {
    kid: String,
    key: CoreEdDsaPrivateSigningKey,
    created_at: Timestamp,
}

/// A key cannot be created or parsed, or a token cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("signing key `{kid}`: {what}")]
pub struct SigningError {
    kid: String,
    what: &'static str,
}

/// A token that this issuer did not sign, or that has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this issuer that is valid now")]
pub struct NotOurs;

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClaims {
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audiences: Vec<String>,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// All other claims by name.
    pub more: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct More(BTreeMap<String, Value>);

impl AdditionalClaims for More {}

type Token = IdToken<More, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

impl SigningKey {
    /// Creates a key from 32 random bytes, and its PKCS#8 form for the store. The `kid` is derived from the public key.
    pub fn from_random(bytes: [u8; 32], created_at: Timestamp) -> Result<(Self, Secret), SigningError> {
        let key = ed25519_dalek::SigningKey::from_bytes(&bytes);
        let public = key.verifying_key().to_bytes();
        let kid: String = public.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let pem = key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| SigningError { kid: kid.clone(), what: "cannot be written as PKCS#8" })?;
        let pem = Secret::new(pem.as_str());
        Ok((Self::from_pem(&kid, &pem, created_at)?, pem))
    }

    /// Parses a stored key.
    pub fn from_pem(kid: &str, pem: &Secret, created_at: Timestamp) -> Result<Self, SigningError> {
        let id = JsonWebKeyId::new(kid.to_owned());
        let key = CoreEdDsaPrivateSigningKey::from_ed25519_pem(pem.reveal(), Some(id))
            .map_err(|_| SigningError { kid: kid.to_owned(), what: "is not an Ed25519 key in PKCS#8" })?;
        Ok(Self { kid: kid.to_owned(), key, created_at })
    }

    /// The `kid`.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// When the key was created.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }
}

/// An issuer: its URL and its keys.
pub struct Issuer {
    url: IssuerUrl,
    keys: RwLock<Arc<Vec<SigningKey>>>,
}

/// A text that is not a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a URL")]
pub struct InvalidIssuer(String);

impl Issuer {
    /// An issuer without keys.
    pub fn new(url: &str) -> Result<Self, InvalidIssuer> {
        let url = IssuerUrl::new(url.to_owned()).map_err(|_| InvalidIssuer(url.to_owned()))?;
        Ok(Self { url, keys: RwLock::default() })
    }

    /// The `iss` of its tokens.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Replaces the keys; oldest first.
    pub fn set_keys(&self, keys: Vec<SigningKey>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    fn keys(&self) -> Arc<Vec<SigningKey>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs a token.
    pub fn sign(&self, claims: TokenClaims, now: Timestamp) -> Result<Secret, SigningError> {
        let keys = self.keys();
        let published = |key: &&SigningKey| now.since(key.created_at) >= PUBLISHED_FIRST;
        let key = keys
            .iter()
            .rfind(published)
            .or_else(|| keys.first())
            .ok_or_else(|| SigningError { kid: "(none)".to_owned(), what: "the issuer has no key yet" })?;
        let failed = |what| SigningError { kid: key.kid.clone(), what };
        let claims = IdTokenClaims::<More, CoreGenderClaim>::new(
            self.url.clone(),
            claims.audiences.into_iter().map(Audience::new).collect(),
            date_time(claims.expires_at),
            date_time(claims.issued_at),
            StandardClaims::new(SubjectIdentifier::new(claims.subject)),
            More(claims.more),
        );
        let token = Token::new(claims, &key.key, CoreJwsSigningAlgorithm::EdDsa, None, None)
            .map_err(|_| failed("cannot sign"))?;
        Ok(Secret::new(token.to_string()))
    }

    /// Verifies a token of this issuer; returns its claims.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<TokenClaims, NotOurs> {
        let token: Token = token.parse().map_err(|_| NotOurs)?;
        let keys = self.keys();
        let set = JsonWebKeySet::new(keys.iter().map(|key| key.key.as_verification_key()).collect());
        let any_audience = ClientId::new(String::new());
        let verifier =
            IdTokenVerifier::<CoreJsonWebKey>::new_public_client(any_audience, self.url.clone(), set)
                .set_allowed_algs([CoreJwsSigningAlgorithm::EdDsa])
                .require_audience_match(false)
                .set_time_fn(move || date_time(now));
        let claims =
            token.into_claims(&verifier, |_: Option<&openidconnect::Nonce>| Ok(())).map_err(|_| NotOurs)?;
        Ok(TokenClaims {
            subject: claims.subject().as_str().to_owned(),
            audiences: claims.audiences().iter().map(|audience| audience.as_str().to_owned()).collect(),
            issued_at: Timestamp::from_millis(claims.issue_time().timestamp_millis()),
            expires_at: Timestamp::from_millis(claims.expiration().timestamp_millis()),
            more: claims.additional_claims().0.clone(),
        })
    }

    /// The public keys as a JWK set (RFC 7517).
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self
            .keys()
            .iter()
            .map(|key| {
                let mut jwk = serde_json::to_value(key.key.as_verification_key()).unwrap_or(Value::Null);
                if let Value::Object(fields) = &mut jwk {
                    fields.insert("alg".to_owned(), Value::from("EdDSA"));
                }
                jwk
            })
            .collect();
        serde_json::json!({ "keys": keys })
    }
}

fn date_time(timestamp: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(timestamp.as_millis()).unwrap_or(DateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn key(n: u8, made: i64) -> SigningKey {
        SigningKey::from_random([n; 32], at(made)).unwrap().0
    }

    fn issuer(keys: Vec<SigningKey>) -> Issuer {
        let issuer = Issuer::new("https://broker.example").unwrap();
        issuer.set_keys(keys);
        issuer
    }

    fn claims() -> TokenClaims {
        TokenClaims {
            subject: "orders-agent".to_owned(),
            audiences: vec!["orders".to_owned()],
            issued_at: at(1000),
            expires_at: at(1900),
            more: [("scope".to_owned(), json!("orders:read"))].into(),
        }
    }

    fn kid_of(token: &Secret) -> String {
        use base64::Engine as _;
        let header = token.reveal().split('.').next().unwrap();
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
        serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
    }

    #[test]
    fn signed_tokens_verify_until_they_expire() {
        let issuer = issuer(vec![key(1, 0)]);
        let token = issuer.sign(claims(), at(1000)).unwrap();
        assert_eq!(issuer.verify(token.reveal(), at(1899)), Ok(claims()));
        assert_eq!(issuer.verify(token.reveal(), at(1901)), Err(NotOurs));
    }

    #[test]
    fn tokens_of_other_keys_issuers_or_content_are_refused() {
        let ours = issuer(vec![key(1, 0)]);
        assert_eq!(
            ours.verify(issuer(vec![key(2, 0)]).sign(claims(), at(1000)).unwrap().reveal(), at(1000)),
            Err(NotOurs)
        );
        let other = Issuer::new("https://other.example").unwrap();
        other.set_keys(vec![key(1, 0)]);
        assert_eq!(ours.verify(other.sign(claims(), at(1000)).unwrap().reveal(), at(1000)), Err(NotOurs));
        let token = ours.sign(claims(), at(1000)).unwrap();
        let mut parts: Vec<&str> = token.reveal().split('.').collect();
        let forged = issuer(vec![key(1, 0)])
            .sign(TokenClaims { subject: "root".to_owned(), ..claims() }, at(1000))
            .unwrap();
        parts[1] = forged.reveal().split('.').nth(1).unwrap();
        assert_eq!(ours.verify(&parts.join("."), at(1000)), Err(NotOurs));
        for text in ["", "a.b.c", "..", &"x".repeat(100_000)] {
            assert_eq!(ours.verify(text, at(1000)), Err(NotOurs));
        }
    }

    #[test]
    fn new_keys_are_published_before_they_sign_and_old_ones_still_verify() {
        let (old, new) = (key(1, 0), key(2, 100_000));
        let (old_kid, new_kid) = (old.kid().to_owned(), new.kid().to_owned());
        let issuer = issuer(vec![old, new]);
        assert_eq!(issuer.jwks()["keys"].as_array().unwrap().len(), 2);
        assert_eq!(kid_of(&issuer.sign(claims(), at(100_599)).unwrap()), old_kid);
        assert_eq!(kid_of(&issuer.sign(claims(), at(100_600)).unwrap()), new_kid);
        let first = issuer.sign(claims(), at(1000)).unwrap();
        assert!(issuer.verify(first.reveal(), at(1000)).is_ok());
    }

    #[test]
    fn the_jwks_has_no_private_part() {
        let jwks = issuer(vec![key(1, 0)]).jwks();
        let mut fields: Vec<&String> = jwks["keys"][0].as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(fields, ["alg", "crv", "kid", "kty", "use", "x"]);
    }
}
