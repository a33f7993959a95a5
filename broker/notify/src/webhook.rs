//! Signs messages as Standard Webhooks do: HMAC-SHA256 over the id, the time and the body.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::{NotificationId, Secret, Timestamp};
use ring::hmac;

use crate::InvalidChannel;

const PREFIX: &str = "whsec_";

/// The keys that sign. More than one while a receiver changes from one to the other: each signs.
pub struct Signatures(Vec<hmac::Key>);

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Signatures {
    /// From the text of a file: one secret on each line.
    pub fn parse(text: &Secret) -> Result<Self, InvalidChannel> {
        let lines = text.reveal().lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let keys: Vec<_> = lines
            .map(|(number, line)| key(line.trim()).ok_or(InvalidChannel::Secret(number + 1)))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(InvalidChannel::NoSecret) } else { Ok(Self(keys)) }
    }

    pub(crate) fn headers(
        &self,
        id: &NotificationId,
        at: Timestamp,
        body: &[u8],
    ) -> [(&'static str, String); 3] {
        let seconds = at.as_secs().to_string();
        let signed = [id.as_str().as_bytes(), seconds.as_bytes(), body].join(&b'.');
        let signatures: Vec<String> =
            self.0.iter().map(|key| format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)))).collect();
        [
            ("webhook-id", id.to_string()),
            ("webhook-timestamp", seconds),
            ("webhook-signature", signatures.join(" ")),
        ]
    }
}

fn key(secret: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    (24..=64).contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Signatures, String> {
        Signatures::parse(&Secret::new(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_in_another_form_is_refused_and_not_shown() {
        for (text, expected) in [
            ("", "expected a secret on a line"),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "line 1: expected `whsec_`"),
            ("\nwhsec_c2hvcnQ=", "line 2: expected"),
            ("whsec_not base64 at all not base64 at all", "line 1: expected"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("MfKQ"), "{text}: {error}");
        }
    }

    #[test]
    fn every_secret_signs() {
        let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let both = parse(&format!("{one}\n\nwhsec_{}\n", STANDARD.encode([7; 32]))).unwrap();
        let id = NotificationId::new(Timestamp::from_secs(0), [0; 5]);
        let headers = |keys: &Signatures| keys.headers(&id, Timestamp::from_secs(1_674_087_231), b"{}");
        let [_, _, (_, signature)] = headers(&parse(one).unwrap());
        let [_, (_, seconds), (_, signatures)] = headers(&both);
        assert_eq!(seconds, "1674087231");
        let (first, second) = signatures.split_once(' ').unwrap();
        assert_eq!(first, signature);
        assert!(second.starts_with("v1,") && second != first);
    }
}
