//! Public keys of issuers (JWK), verified with `ring` behind the traits of `openidconnect`.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openidconnect::core::{
    CoreJsonWebKey, CoreJsonWebKeyType, CoreJsonWebKeyUse, CoreJwsSigningAlgorithm as Algorithm,
};
use openidconnect::{JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyId, SignatureVerificationError};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Shorter RSA keys can be broken. `ring` has this limit too, but rounds up to whole bytes.
const MIN_RSA_BITS: usize = 2048;

/// The longest RSA key that `ring` verifies with.
const MAX_RSA_BITS: usize = 8192;

/// The first byte of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

/// An issuer's public key. `openidconnect` selects the key by its description; `ring` verifies the signature. Cheap to
/// clone.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct VerifyingKey(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    described: CoreJsonWebKey,
    public: Public,
}

/// The key in the form that `ring` takes.
#[derive(Debug)]
enum Public {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    /// A shared secret, which could also sign. Verifies nothing.
    Symmetric,
}

/// A JWK that must not be used to verify signatures.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key that a signature can be verified with")]
pub(crate) struct Unusable;

impl TryFrom<Value> for VerifyingKey {
    type Error = Unusable;

    /// Refuses unknown kinds, encryption keys, symmetric keys, published private keys, coordinates of a wrong length and
    /// RSA keys outside the limits.
    fn try_from(key: Value) -> Result<Self, Unusable> {
        let for_signatures = key.get("use").and_then(Value::as_str).is_none_or(|purpose| purpose == "sig");
        let secret = key.get("d").is_some() || key.get("k").is_some();
        if secret || !for_signatures {
            return Err(Unusable);
        }
        let public = Public::read(&key).ok_or(Unusable)?;
        let described = serde_json::from_value(key).map_err(|_| Unusable)?;
        Ok(Self(Arc::new(Inner { described, public })))
    }
}

impl Public {
    fn read(key: &Value) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let exactly = |name: &str, length: usize| bytes(name).filter(|bytes| bytes.len() == length);
        let point =
            |length| Some([vec![UNCOMPRESSED], exactly("x", length)?, exactly("y", length)?].concat());
        match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                // Some issuers write the leading zero byte of ASN.1 integers, which `ring` refuses.
                let (n, e) = (without_leading_zeros(bytes("n")?), without_leading_zeros(bytes("e")?));
                (MIN_RSA_BITS..=MAX_RSA_BITS)
                    .contains(&bits(&n)?)
                    .then_some(Self::Rsa(RsaPublicKeyComponents { n, e }))
            }
            ("EC", Some("P-256")) => point(32).map(Self::P256),
            ("EC", Some("P-384")) => point(48).map(Self::P384),
            ("OKP", Some("Ed25519")) => exactly("x", 32).map(Self::Ed25519),
            _ => None,
        }
    }
}

fn without_leading_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

fn bits(significant: &[u8]) -> Option<usize> {
    let unused = usize::try_from(significant.first()?.leading_zeros()).ok()?;
    Some(significant.len() * 8 - unused)
}

impl JsonWebKey for VerifyingKey {
    type KeyUse = CoreJsonWebKeyUse;
    type SigningAlgorithm = Algorithm;

    fn key_id(&self) -> Option<&JsonWebKeyId> {
        self.0.described.key_id()
    }

    fn key_type(&self) -> &CoreJsonWebKeyType {
        self.0.described.key_type()
    }

    fn key_use(&self) -> Option<&CoreJsonWebKeyUse> {
        self.0.described.key_use()
    }

    fn signing_alg(&self) -> JsonWebKeyAlgorithm<&Algorithm> {
        self.0.described.signing_alg()
    }

    /// Never called: no verifier here has a client secret.
    fn new_symmetric(key: Vec<u8>) -> Self {
        let described = CoreJsonWebKey::new_symmetric(key);
        Self(Arc::new(Inner { described, public: Public::Symmetric }))
    }

    fn verify_signature(
        &self,
        algorithm: &Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureVerificationError> {
        let verified = match (algorithm, &self.0.public) {
            (Algorithm::RsaSsaPkcs1V15Sha256, Public::Rsa(key)) => {
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            (Algorithm::RsaSsaPkcs1V15Sha384, Public::Rsa(key)) => {
                key.verify(&RSA_PKCS1_2048_8192_SHA384, message, signature)
            }
            (Algorithm::RsaSsaPkcs1V15Sha512, Public::Rsa(key)) => {
                key.verify(&RSA_PKCS1_2048_8192_SHA512, message, signature)
            }
            (Algorithm::RsaSsaPssSha256, Public::Rsa(key)) => {
                key.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
            }
            (Algorithm::RsaSsaPssSha384, Public::Rsa(key)) => {
                key.verify(&RSA_PSS_2048_8192_SHA384, message, signature)
            }
            (Algorithm::RsaSsaPssSha512, Public::Rsa(key)) => {
                key.verify(&RSA_PSS_2048_8192_SHA512, message, signature)
            }
            (Algorithm::EcdsaP256Sha256, Public::P256(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Algorithm::EcdsaP384Sha384, Public::P384(point)) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            (Algorithm::EdDsa, Public::Ed25519(point)) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
            }
            (
                other,
                Public::Rsa(_) | Public::P256(_) | Public::P384(_) | Public::Ed25519(_) | Public::Symmetric,
            ) => {
                return Err(SignatureVerificationError::InvalidKey(format!("not a key for {other:?}")));
            }
        };
        verified.map_err(|ring::error::Unspecified| {
            SignatureVerificationError::CryptoError("the signature is not by this key".to_owned())
        })
    }

    fn hash_bytes(&self, bytes: &[u8], algorithm: &Algorithm) -> Result<Vec<u8>, String> {
        self.0.described.hash_bytes(bytes, algorithm)
    }
}

impl Serialize for VerifyingKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.described.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn zeros(length: usize) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(vec![0; length])
    }

    fn modulus(first: &[u8], rest: usize) -> Value {
        let n = [first, vec![0xff; rest].as_slice()].concat();
        json!({ "kty": "RSA", "n": BASE64_URL_SAFE_NO_PAD.encode(n), "e": "AQAB" })
    }

    fn curve(kty: &str, crv: &str, length: usize) -> Value {
        json!({ "kty": kty, "crv": crv, "x": zeros(length), "y": zeros(length) })
    }

    fn is_usable(key: &Value) -> bool {
        VerifyingKey::try_from(key.clone()).is_ok()
    }

    #[test]
    fn rsa_keys_have_2048_to_8192_bits_not_counting_leading_zeros() {
        for (first, rest, usable) in [
            (&[][..], 256, true),
            (&[0], 256, true),
            (&[0x80], 255, true),
            (&[0x7f], 255, false),
            (&[0, 0x7f], 255, false),
            (&[0; 200], 128, false),
            (&[], 128, false),
            (&[], 0, false),
            (&[], 1024, true),
            (&[1], 1024, false),
        ] {
            assert_eq!(is_usable(&modulus(first, rest)), usable, "{} and {rest} bytes", first.len());
        }
    }

    #[test]
    fn coordinates_have_the_length_of_their_curve() {
        for (kty, crv, length) in [("EC", "P-256", 32), ("EC", "P-384", 48), ("OKP", "Ed25519", 32)] {
            assert!(is_usable(&curve(kty, crv, length)), "{crv}");
            for other in [0, 1, length - 1, length + 1, length * 2] {
                assert!(!is_usable(&curve(kty, crv, other)), "{crv} {other}");
            }
        }
        for (kty, crv, length) in
            [("EC", "P-521", 66), ("EC", "secp256k1", 32), ("EC", "Ed25519", 32), ("OKP", "Ed448", 57)]
        {
            assert!(!is_usable(&curve(kty, crv, length)), "{kty} {crv}");
        }
    }

    #[test]
    fn secret_keys_and_keys_for_other_uses_are_refused() {
        let good =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": X, "use": "sig", "alg": "EdDSA", "kid": "a" });
        assert!(is_usable(&good));
        for (name, value) in [
            ("use", json!("enc")),
            ("use", json!(7)),
            ("alg", json!("ROT13")),
            ("kid", json!(7)),
            ("d", json!("AAAA")),
            ("k", json!("AAAA")),
            ("kty", json!("oct")),
            ("kty", json!("okp")),
            ("x", json!(format!("{X}="))),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(!is_usable(&bad), "{bad}");
        }
        assert!(!is_usable(&json!({ "kty": "oct", "k": "AAAA", "kid": "1" })));
        assert!(!is_usable(&json!("text")));
    }

    #[test]
    fn a_shared_secret_verifies_nothing() {
        let key = VerifyingKey::new_symmetric(b"secret".to_vec());
        for algorithm in [Algorithm::HmacSha256, Algorithm::RsaSsaPkcs1V15Sha256, Algorithm::None] {
            assert!(key.verify_signature(&algorithm, b"", b"").is_err(), "{algorithm:?}");
        }
    }
}
