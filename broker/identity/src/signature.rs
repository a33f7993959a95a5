//! Verifies a token's signature, audience and expiry with `openidconnect`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use openidconnect::core::{CoreIdToken, CoreJwsSigningAlgorithm};
use openidconnect::{
    ClaimsVerificationError, ClientId, IdTokenVerifier, IssuerUrl, JsonWebKeySet, Nonce,
    SignatureVerificationError,
};
use protocol::{Secret, Timestamp};

use crate::jwk::VerifyingKey;
use crate::refused::Refused;
use crate::token::{Malformed, UnverifiedToken, cut};

/// A token with verified signature, audience and times.
#[derive(Debug)]
pub(crate) struct VerifiedToken<'t>(&'t UnverifiedToken);

impl VerifiedToken<'_> {
    pub(crate) fn get(&self) -> &UnverifiedToken {
        self.0
    }
}

/// Verifies `token` with the candidate keys. `unverified` is the parsed `token`, whose only `aud` is `audience`.
pub(crate) fn verify<'t>(
    token: &Secret,
    unverified: &'t UnverifiedToken,
    audience: &str,
    keys: Vec<VerifyingKey>,
    now: Timestamp,
    leeway: Duration,
) -> Result<VerifiedToken<'t>, Refused> {
    let parsed: CoreIdToken = token.reveal().parse().map_err(|_| Malformed::NotAnIdToken)?;
    let issuer = IssuerUrl::new(unverified.issuer.clone()).map_err(|_| Malformed::NotAnIdToken)?;
    let lenient: DateTime<Utc> =
        DateTime::from_timestamp_millis(now.minus(leeway).as_millis()).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let verifier = IdTokenVerifier::new_public_client(
        ClientId::new(audience.to_owned()),
        issuer,
        JsonWebKeySet::new(keys),
    )
    .set_allowed_algs([unverified.algorithm.clone()])
    // The parser has checked `typ`, and more strictly.
    .allow_all_jose_types()
    .set_time_fn(move || lenient);
    let no_nonce = |_: Option<&Nonce>| Ok(());
    match parsed.claims(&verifier, no_nonce) {
        Ok(_) => Ok(VerifiedToken(unverified)),
        Err(error) => Err(refused(&error, unverified, audience, now)),
    }
}

fn refused(
    error: &ClaimsVerificationError,
    unverified: &UnverifiedToken,
    audience: &str,
    now: Timestamp,
) -> Refused {
    let issuer = || unverified.issuer.clone();
    if let ClaimsVerificationError::SignatureVerification(
        SignatureVerificationError::NoMatchingKey | SignatureVerificationError::AmbiguousKeyId(_),
    ) = error
    {
        let algorithm = name_of(&unverified.algorithm);
        return Refused::UnknownKey {
            key_id: unverified.key_id.as_deref().map(cut),
            algorithm,
            issuer: issuer(),
        };
    }
    if let ClaimsVerificationError::Expired(_) = error {
        return Refused::Expired { expired: unverified.expires, now };
    }
    if let ClaimsVerificationError::InvalidAudience(_) = error {
        let expected = vec![audience.to_owned()];
        return Refused::Audience { found: unverified.audiences.clone(), expected };
    }
    tracing::debug!(%error, "a token was refused");
    Refused::Signature { issuer: issuer() }
}

fn name_of(algorithm: &CoreJwsSigningAlgorithm) -> String {
    serde_json::to_value(algorithm).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
