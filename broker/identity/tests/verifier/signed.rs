//! Builds tokens byte for byte.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{ClaimRule, TrustRule};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use protocol::{AgentId, Platform, Secret, Timestamp};
use serde_json::{Value, json};

/// 2026-06-08T14:00:14Z.
pub(crate) const NOW: i64 = 1_780_927_214;
pub(crate) const AUDIENCE: &str = "cloudanix-jit";

pub(crate) fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

pub(crate) fn agent() -> AgentId {
    "jenkins-deploy-agent".parse().unwrap()
}

/// A private key with a `kid`.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kid: Option<&'static str>,
    pub(crate) algorithm: Algorithm,
    encoding: EncodingKey,
}

pub(crate) enum Pair {
    RsaA,
    RsaB,
    RsaC,
    Rsa2047,
    Ec,
    Ec384,
    Ed25519,
}

impl Key {
    pub(crate) fn new(pair: Pair, kid: impl Into<Option<&'static str>>) -> Self {
        let rsa = |pem: &[u8]| (Algorithm::RS256, EncodingKey::from_rsa_pem(pem).unwrap());
        let (algorithm, encoding) = match pair {
            Pair::RsaA => rsa(include_bytes!("keys/rsa-a.pem")),
            Pair::RsaB => rsa(include_bytes!("keys/rsa-b.pem")),
            Pair::RsaC => rsa(include_bytes!("keys/rsa-c.pem")),
            Pair::Rsa2047 => rsa(include_bytes!("keys/rsa-2047.pem")),
            Pair::Ec384 => {
                (Algorithm::ES384, EncodingKey::from_ec_pem(include_bytes!("keys/ec-384.pem")).unwrap())
            }
            Pair::Ec => (Algorithm::ES256, EncodingKey::from_ec_pem(include_bytes!("keys/ec.pem")).unwrap()),
            Pair::Ed25519 => {
                (Algorithm::EdDSA, EncodingKey::from_ed_pem(include_bytes!("keys/ed25519.pem")).unwrap())
            }
        };
        Self { kid: kid.into(), algorithm, encoding }
    }

    pub(crate) fn with(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// The public half, with `kid` and without `alg` and `use`, which many issuers leave out.
    pub(crate) fn public(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.encoding, self.algorithm).unwrap()).unwrap();
        let members = jwk.as_object_mut().unwrap();
        members.remove("alg");
        members.remove("use");
        if let Some(kid) = self.kid {
            members.insert("kid".to_owned(), json!(kid));
        }
        jwk
    }

    pub(crate) fn header(&self) -> Value {
        let mut header = json!({ "alg": self.algorithm, "typ": "JWT" });
        if let Some(kid) = self.kid {
            header["kid"] = json!(kid);
        }
        header
    }

    /// Signs a token with these claims, as an issuer does.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_text(&self.header().to_string(), &claims.to_string())
    }

    /// Signs exactly this header and payload.
    pub(crate) fn sign_text(&self, header: &str, payload: &str) -> String {
        let signed = signed_part(header, payload);
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &self.encoding, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

pub(crate) fn signed_part(header: &str, payload: &str) -> String {
    format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(payload))
}

/// Signs with a shared secret.
pub(crate) fn sign_hmac(header: &str, payload: &str, secret: &[u8]) -> String {
    let signed = signed_part(header, payload);
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

/// The claims of a valid token with a lifetime of five minutes.
pub(crate) fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "sub": "repo:octo-org/my-app:ref:refs/heads/main", "aud": AUDIENCE,
        "iat": NOW, "nbf": NOW, "exp": NOW + 300, "jti": "1f0c2b3a",
        "repository_id": "81234567", "ref": "refs/heads/main",
    })
}

/// [`claims`] with one claim changed.
pub(crate) fn claims_with(issuer: &str, name: &str, value: Value) -> Value {
    let mut claims = claims(issuer);
    claims[name] = value;
    claims
}

pub(crate) fn secret(token: &str) -> Secret {
    Secret::new(token)
}

/// The repository of [`claims`].
pub(crate) fn rule(issuer: &str) -> TrustRule {
    TrustRule {
        issuer: issuer.to_owned(),
        audience: AUDIENCE.to_owned(),
        platform: Platform::Oidc,
        claims: [("repository_id".to_owned(), ClaimRule::AnyOf(vec!["81234567".to_owned()]))].into(),
        allow: Vec::new(),
    }
}
