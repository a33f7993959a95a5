//! Verifies security event tokens (RFC 8417) that a transmitter of the Shared Signals Framework pushes.

use std::collections::BTreeMap;
use std::time::Duration;

use openidconnect::core::CoreJwsSigningAlgorithm;
use openidconnect::{JsonWebKey, JsonWebKeyAlgorithm};
use protocol::Timestamp;
use serde_json::Value;

use crate::discovery::Discovery;
use crate::http::Http;
use crate::jwk::VerifyingKey;
use crate::key_cache::{CacheTimes, KeyCache};
use crate::refused::Refused;
use crate::token::{Jws, Malformed, Types, audiences, cut, required, text_claim};

const TYPES: Types =
    Types { known: &["secevent+jwt", "application/secevent+jwt"], absent: false, expected: "`secevent+jwt`" };

/// The clock of a transmitter may be ahead by this much.
const LEEWAY: Duration = Duration::from_secs(60);

/// The verified content of a security event token.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityEvents {
    /// The token's `jti`.
    pub id: String,
    /// The token's `iat`.
    pub issued: Timestamp,
    /// The token's `sub_id` (RFC 9493); earlier forms have a subject in each event.
    pub subject: Option<Value>,
    /// The events by type.
    pub events: BTreeMap<String, Value>,
}

/// Verifies tokens with the published keys of their transmitters.
pub struct EventVerifier {
    keys: KeyCache,
}

impl EventVerifier {
    /// A verifier with an empty key cache.
    pub fn new(http: Http, times: CacheTimes) -> Self {
        Self { keys: KeyCache::new(http, Discovery::SsfConfiguration, times) }
    }

    /// Verifies that `issuer` signed the token for `audience` and for no other. Needs a Tokio runtime.
    pub async fn verify(
        &self,
        token: &str,
        issuer: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<SecurityEvents, Refused> {
        let jws = Jws::parse(token, &TYPES)?;
        let found = text_claim(&jws.claims, "iss")?;
        if found != issuer {
            return Err(Refused::IssuerNotTrusted { found: cut(&found), trusted: vec![issuer.to_owned()] });
        }
        let found = audiences(&jws.claims)?;
        if found.iter().any(|found| found != audience) {
            let found = found.iter().take(5).map(|found| cut(found)).collect();
            return Err(Refused::Audience { found, expected: vec![audience.to_owned()] });
        }
        let issued = required(&jws.claims, "iat")?;
        if issued > now.plus(LEEWAY) {
            return Err(Refused::NotYetValid { claim: "iat", from: issued, now });
        }
        let key_id = jws.key_id.as_deref();
        self.keys.verify(issuer, key_id, now, |keys| signed(&jws, keys.named(key_id), issuer)).await?;
        Ok(SecurityEvents {
            id: text_claim(&jws.claims, "jti")?,
            issued,
            subject: jws.claims.get("sub_id").cloned(),
            events: events(jws.claims.get("events"))?,
        })
    }
}

fn signed(jws: &Jws, keys: Vec<VerifyingKey>, issuer: &str) -> Result<(), Refused> {
    let mut tried = false;
    for key in keys.iter().filter(|key| is_for(key, &jws.algorithm)) {
        tried = true;
        if key.verify_signature(&jws.algorithm, jws.signed_part.as_bytes(), &jws.signature).is_ok() {
            return Ok(());
        }
    }
    let issuer = issuer.to_owned();
    if tried {
        return Err(Refused::Signature { issuer });
    }
    let algorithm = format!("{:?}", jws.algorithm);
    Err(Refused::UnknownKey { key_id: jws.key_id.as_deref().map(cut), algorithm, issuer })
}

fn is_for(key: &VerifyingKey, algorithm: &CoreJwsSigningAlgorithm) -> bool {
    match key.signing_alg() {
        JsonWebKeyAlgorithm::Algorithm(only) => only == algorithm,
        JsonWebKeyAlgorithm::Unspecified => true,
        JsonWebKeyAlgorithm::Unsupported => false,
    }
}

fn events(found: Option<&Value>) -> Result<BTreeMap<String, Value>, Malformed> {
    match found {
        Some(Value::Object(events)) if !events.is_empty() => {
            Ok(events.iter().map(|(kind, event)| (kind.clone(), event.clone())).collect())
        }
        Some(_) | None => Err(Malformed::Claim {
            name: "events",
            expected: "an object with at least one event",
            found: if found.is_some() { "another value" } else { "missing" }.to_owned(),
        }),
    }
}
