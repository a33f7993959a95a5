//! The proof of a sign-in (RFC 7636, method S256): only the client that began it gets its session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::Secret;

use crate::error::Error;

/// A secret, and what the broker may know of it before it is shown.
#[derive(Debug, Clone)]
pub struct Pkce {
    /// Proves that the code is exchanged by the client that began the sign-in.
    pub verifier: Secret,
    /// Its SHA-256 in base64url.
    pub challenge: String,
}

/// 256 random bits in base64url.
pub fn random_text() -> Result<Secret, Error> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)
        .map_err(|error| Error::unexpected(format!("the system has no random numbers: {error}")))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

impl Pkce {
    /// A new proof.
    pub fn new() -> Result<Self, Error> {
        random_text().map(Self::of)
    }

    fn of(verifier: Secret) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, verifier.reveal().as_bytes());
        Self { challenge: URL_SAFE_NO_PAD.encode(digest), verifier }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B
        let pkce = Pkce::of(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(pkce.challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn each_proof_is_new_and_of_the_length_that_the_broker_expects() {
        let (one, other) = (Pkce::new().unwrap(), Pkce::new().unwrap());
        assert_ne!(one.verifier.reveal(), other.verifier.reveal());
        assert_eq!((one.verifier.reveal().len(), one.challenge.len()), (43, 43));
    }
}
