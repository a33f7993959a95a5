//! Which of an issuer's keys may a token be signed with?

use openidconnect::JsonWebKey as _;
use serde::Deserialize;
use serde_json::Value;

use crate::ring_key::RingKey;

/// More keys than this are another thing than a key set.
const MAX_KEYS: usize = 100;

/// The public keys that an issuer signs with.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<RingKey>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a JWK set and leaves out what no signature may be verified with.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(body).map_err(|error| format!("is not a JWK set: {error}"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!("has {} keys: expected at most {MAX_KEYS}", document.keys.len()));
        }
        let keys: Vec<_> = document.keys.into_iter().filter_map(|key| RingKey::try_from(key).ok()).collect();
        if keys.is_empty() {
            return Err("has no key that a signature can be verified with".to_owned());
        }
        Ok(Self { keys })
    }

    /// Whether a token that names this key, or none, could be verified.
    pub(crate) fn knows(&self, key_id: Option<&str>) -> bool {
        key_id.is_none() || self.keys.iter().any(|key| is_named(key, key_id))
    }

    /// The keys that the token may mean. Without a name that is each of them: which fits, and that only one
    /// does, is decided with the algorithm in hand.
    pub(crate) fn named(&self, key_id: Option<&str>) -> Vec<RingKey> {
        self.keys.iter().filter(|key| key_id.is_none() || is_named(key, key_id)).cloned().collect()
    }
}

fn is_named(key: &RingKey, key_id: Option<&str>) -> bool {
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
    fn a_key_that_cannot_be_used_is_left_out_and_one_at_least_is_needed() {
        for unusable in [json!({"kty": "oct", "k": "AAAA", "kid": "1"}), ed25519(&[("use", json!("enc"))])] {
            assert!(parse(std::slice::from_ref(&unusable)).is_err(), "{unusable}");
            let with_a_good_one = parse(&[unusable, ed25519(&[])]).unwrap();
            assert_eq!(with_a_good_one.keys.len(), 1);
        }
    }

    #[test]
    fn a_key_is_found_by_its_name_and_without_one_every_key_may_be_meant() {
        let keys = parse(&[ed25519(&[("kid", json!("a"))]), ed25519(&[])]).unwrap();
        assert!(keys.knows(Some("a")) && keys.knows(None) && !keys.knows(Some("b")));
        assert_eq!(keys.named(Some("a")).len(), 1);
        assert_eq!(keys.named(Some("b")).len(), 0);
        assert_eq!(keys.named(None).len(), 2);
    }

    #[test]
    fn a_set_without_end_is_not_read() {
        assert!(parse(&vec![ed25519(&[]); 101]).unwrap_err().contains("101 keys"));
    }
}
