//! Typed ids of grants, agents, operators, policies and requests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Text that is not an id of the kind that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {kind}: expected {expected}")]
pub struct InvalidId {
    /// The kind of id that was expected, with its article: `an agent id`.
    pub kind: &'static str,
    /// The accepted form, as text.
    pub expected: &'static str,
    /// The text that was found, cut to 80 characters.
    pub found: String,
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(80).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { kind: $kind, expected: $expected, found: cut(text) })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(
    /// One grant: `elev-` and 16 lower-case hexadecimal digits.
    GrantId,
    "a grant id",
    "`elev-` followed by 16 hexadecimal digits",
    |text| text.strip_prefix("elev-").is_some_and(|hex| hex.len() == 16 && is_lower_hex(hex))
);

id!(
    /// A registered agent: 1 to 64 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit.
    AgentId,
    "an agent id",
    "1 to 64 characters of a-z, 0-9, `-` and `_`, beginning with a letter or digit",
    is_name
);

id!(
    /// The name of an operator token or introspection token in the broker's configuration: 1 to 64 of `a-z`, `0-9`, `-`
    /// and `_`, beginning with a letter or digit.
    OperatorName,
    "an operator's name",
    "1 to 64 characters of a-z, 0-9, `-` and `_`, beginning with a letter or digit",
    is_name
);

id!(
    /// The name of a channel of notifications in the broker's configuration, in the form of an operator's name.
    ChannelName,
    "a channel's name",
    "1 to 64 characters of a-z, 0-9, `-` and `_`, beginning with a letter or digit",
    is_name
);

id!(
    /// The name of a policy: 1 to 128 of letters, digits and `+=,.@_/:-`.
    PolicyName,
    "a policy name",
    "1 to 128 letters, digits and `+=.@_/:-`",
    |text| (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=.@_/:-".contains(&b))
);

id!(
    /// Identifies one elevation, so that a retry joins the same grant: 32 lower-case hexadecimal digits (128 random bits).
    IdempotencyKey,
    "an idempotency key",
    "32 hexadecimal digits",
    |text| text.len() == 32 && is_lower_hex(text)
);

id!(
    /// One sealed break-glass code: `bg-` and 12 lower-case hexadecimal digits.
    BreakGlassCodeId,
    "the id of a break-glass code",
    "`bg-` followed by 12 hexadecimal digits",
    |text| text.strip_prefix("bg-").is_some_and(|hex| hex.len() == 12 && is_lower_hex(hex))
);

impl BreakGlassCodeId {
    /// The id for random bytes.
    pub fn from_random(bytes: [u8; 6]) -> Self {
        Self(bytes.iter().fold("bg-".to_owned(), |id, byte| format!("{id}{byte:02x}")))
    }
}

id!(
    /// One standing approval: `sa-` and 16 lower-case hexadecimal digits.
    StandingApprovalId,
    "the id of a standing approval",
    "`sa-` followed by 16 hexadecimal digits",
    |text| text.strip_prefix("sa-").is_some_and(|hex| hex.len() == 16 && is_lower_hex(hex))
);

impl StandingApprovalId {
    /// The id for 64 bits that no other one has.
    pub fn from_bits(bytes: [u8; 8]) -> Self {
        Self(format!("sa-{:016x}", u64::from_be_bytes(bytes)))
    }
}

id!(
    /// One notification: `ntf-` and 22 lower-case hexadecimal digits. Later ones have greater ids.
    NotificationId,
    "the id of a notification",
    "`ntf-` followed by 22 hexadecimal digits",
    |text| text.strip_prefix("ntf-").is_some_and(|hex| hex.len() == 22 && is_lower_hex(hex))
);

impl NotificationId {
    /// The id for a time after 1970 and 40 random bits.
    pub fn new(at: crate::Timestamp, random: [u8; 5]) -> Self {
        let random = random.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        Self(format!("ntf-{:012x}{random:010x}", at.as_millis().max(0)))
    }
}

impl GrantId {
    /// The id for 64 random bits.
    pub fn from_random(bytes: [u8; 8]) -> Self {
        Self(format!("elev-{:016x}", u64::from_be_bytes(bytes)))
    }
}

impl IdempotencyKey {
    /// The key for 128 random bits.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_accept_only_their_form() {
        assert_eq!(
            GrantId::from_random([0x9c, 0x11, 0xf3, 0xa8, 0, 0, 0, 1]).as_str(),
            "elev-9c11f3a800000001"
        );
        for wrong in ["", "elev-", "elev-9C11F3A800000001", "elev-9c11f3a80000000", "9c11f3a800000001"] {
            assert!(wrong.parse::<GrantId>().is_err(), "{wrong}");
        }
        for wrong in ["", "-agent", "Agent", "a b", "a/b", &"a".repeat(65)] {
            assert!(wrong.parse::<AgentId>().is_err(), "{wrong}");
            assert!(wrong.parse::<OperatorName>().is_err(), "{wrong}");
        }
        assert!("release-bot".parse::<OperatorName>().is_ok());
        assert!("jenkins-deploy-agent".parse::<AgentId>().is_ok());
        assert!("arn:aws:iam::aws:policy/AmazonECS_FullAccess".parse::<PolicyName>().is_ok());
        assert!("two,policies".parse::<PolicyName>().is_err());
        let id = |millis| NotificationId::new(crate::Timestamp::from_millis(millis), [0xab, 0, 0, 0, 1]);
        assert_eq!(id(1_800_000_000_000).as_str(), "ntf-01a3185c5000ab00000001");
        assert!(id(9).as_str().parse::<NotificationId>().is_ok() && id(9) < id(10));
        assert!(IdempotencyKey::from_random([7; 16]).as_str().parse::<IdempotencyKey>().is_ok());
    }

    #[test]
    fn an_error_names_what_was_expected_and_what_was_found() {
        let error = "Jenkins Agent".parse::<AgentId>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`Jenkins Agent` is not an agent id: expected 1 to 64 characters of a-z, 0-9, `-` and `_`, \
             beginning with a letter or digit"
        );
    }
}
