//! The form of auth tokens: a prefix that secret scanners can find, an id, the secret, a checksum.
//!
//! `cjat_` · 12 hexadecimal digits of id · 48 of secret · 8 of CRC-32 over everything before. The checksum detects a
//! token that was cut or mistyped without a request; it is not a security measure.

use crate::Secret;

/// An auth token (`CLOUDANIX_AUTH_TOKEN`) of valid form.
#[derive(Debug, Clone)]
pub struct AuthToken {
    id: String,
    secret: Secret,
}

/// Text that is not an auth token. The error does not show the text, which may be another secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthToken {
    /// The prefix, length or alphabet is wrong.
    #[error("not an auth token: expected `cjat_` and 68 hexadecimal digits")]
    Malformed,
    /// The form is right and the checksum is wrong: the token was cut, joined or mistyped.
    #[error("the auth token's checksum does not match: it was cut or mistyped on its way")]
    Checksum,
}

impl AuthToken {
    /// The prefix of every auth token.
    pub const PREFIX: &'static str = "cjat_";
    const ID: usize = 12;
    const BODY: usize = 60;

    /// Makes a token from random bytes.
    pub fn from_random(id: [u8; 6], secret: [u8; 24]) -> Self {
        let mut text = String::from(Self::PREFIX);
        for byte in id.iter().chain(&secret) {
            text.push_str(&format!("{byte:02x}"));
        }
        let id = text.chars().skip(Self::PREFIX.len()).take(Self::ID).collect();
        text.push_str(&format!("{:08x}", crc32(text.as_bytes())));
        Self { id, secret: Secret::new(text) }
    }

    /// Parses a token: checks prefix, length, alphabet and checksum.
    pub fn parse(text: &str) -> Result<Self, InvalidAuthToken> {
        let hex = text.strip_prefix(Self::PREFIX).ok_or(InvalidAuthToken::Malformed)?;
        let well_formed = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !well_formed || hex.len() != Self::BODY + 8 {
            return Err(InvalidAuthToken::Malformed);
        }
        let (body, sum) = text.split_at(Self::PREFIX.len() + Self::BODY);
        if sum != format!("{:08x}", crc32(body.as_bytes())) {
            return Err(InvalidAuthToken::Checksum);
        }
        Ok(Self { id: hex.chars().take(Self::ID).collect(), secret: Secret::new(text) })
    }

    /// The public id, which names the token in lists and logs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole token.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// CRC-32 of IEEE 802.3, bit by bit: a table does not pay for seventy bytes.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_new_token_is_well_formed_and_a_damaged_one_is_not() {
        let token = AuthToken::from_random([1; 6], [2; 24]);
        let text = token.secret().reveal().to_owned();
        assert_eq!(AuthToken::parse(&text).unwrap().id(), "010101010101");
        let last_changed = format!("{}{}", &text[..72], if text.ends_with('0') { '1' } else { '0' });
        assert_eq!(AuthToken::parse(&last_changed).unwrap_err(), InvalidAuthToken::Checksum);
        assert_eq!(AuthToken::parse(&text[..60]).unwrap_err(), InvalidAuthToken::Malformed);
        assert_eq!(AuthToken::parse("ghp_abc").unwrap_err(), InvalidAuthToken::Malformed);
        assert_eq!(AuthToken::parse("").unwrap_err(), InvalidAuthToken::Malformed);
    }
}
