//! The key set of an issuer, and the keys in it that a token may be signed with.

use openidconnect::JsonWebKey as _;
use serde::Deserialize;
use serde_json::Value;

use crate::jwk::VerifyingKey;

/// The largest accepted key set.
const MAX_KEYS: usize = 100;

/// The public keys that an issuer signs with.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<VerifyingKey>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a JWK set, without the keys that must not verify signatures.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(body).map_err(|error| format!("is not a JWK set: {error}"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!("has {} keys: expected at most {MAX_KEYS}", document.keys.len()));
        }
        let keys: Vec<_> =
            document.keys.into_iter().filter_map(|key| VerifyingKey::try_from(key).ok()).collect();
        if keys.is_empty() {
            return Err("has no key that a signature can be verified with".to_owned());
        }
        Ok(Self { keys })
    }

    /// Whether the set can have the key of a token with this `kid`, or without one.
    pub(crate) fn knows(&self, key_id: Option<&str>) -> bool {
        key_id.is_none() || self.keys.iter().any(|key| is_named(key, key_id))
    }

    /// The keys with this `kid`, or every key for a token without one: the verifier then selects by algorithm, and
    /// requires that exactly one fits.
    pub(crate) fn named(&self, key_id: Option<&str>) -> Vec<VerifyingKey> {
        self.keys.iter().filter(|key| key_id.is_none() || is_named(key, key_id)).cloned().collect()
    }
}

fn is_named(key: &VerifyingKey, key_id: Option<&str>) -> bool {
    key.key_id().map(|kid| kid.as_str()) == key_id
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ed25519(more: &[(&str, Value)]) -> Value {
        let mut key = json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        for (name, value) in more {
            key[*name] = value.clone();
        }
        key
    }

    fn parse(keys: &[Value]) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn unusable_keys_are_skipped_and_one_usable_key_is_required() {
        for unusable in [json!({"kty": "oct", "k": "AAAA", "kid": "1"}), ed25519(&[("use", json!("enc"))])] {
            assert!(parse(std::slice::from_ref(&unusable)).is_err(), "{unusable}");
            let with_a_good_one = parse(&[unusable, ed25519(&[])]).unwrap();
            assert_eq!(with_a_good_one.keys.len(), 1);
        }
    }

    #[test]
    fn without_kid_every_key_is_a_candidate() {
        let keys = parse(&[ed25519(&[("kid", json!("a"))]), ed25519(&[])]).unwrap();
        assert!(keys.knows(Some("a")) && keys.knows(None) && !keys.knows(Some("b")));
        assert_eq!(keys.named(Some("a")).len(), 1);
        assert_eq!(keys.named(Some("b")).len(), 0);
        assert_eq!(keys.named(None).len(), 2);
    }

    #[test]
    fn a_set_with_too_many_keys_is_refused() {
        assert!(parse(&vec![ed25519(&[]); 101]).unwrap_err().contains("101 keys"));
    }
}
