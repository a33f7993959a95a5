//! Break-glass: a person takes a grant in an emergency, without rules and approvals.

use serde::{Deserialize, Serialize};

use crate::auth_token::crc32;
use crate::{Actor, AgentId, BreakGlassCodeId, Facts, PolicyName, Secret, Timestamp, Ttl, secret};

/// The longest grant, in seconds.
pub const LONGEST_SECONDS: u32 = 60 * 60;
/// The longest id of an incident, in characters.
pub const MAX_INCIDENT: usize = 64;
/// The longest note of a review, in characters.
pub const MAX_NOTE: usize = 2000;
/// The most codes that are sealed at once.
pub const MAX_CODES: u32 = 20;
/// The longest label of a code, in characters.
pub const MAX_LABEL: usize = 64;
/// The longest time for which a code is accepted, in days.
pub const MAX_DAYS: u32 = 400;

/// The body of `POST /v2/break-glass`. The idempotency key is in the header `Idempotency-Key`. The grant requires
/// heartbeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BreakGlassRequest {
    /// The agent whose boundary limits the grant.
    pub agent_id: AgentId,
    /// The requested policies: at least one, at most ten.
    pub policies: Vec<PolicyName>,
    /// The requested length of the grant: at most an hour, and at most the boundary's longest session.
    pub ttl: Ttl,
    /// The name of a scope of the boundary; needed only if the boundary has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The id of the incident: 1 to 64 characters.
    pub incident: String,
    /// The reason, for the timeline and for every channel: 1 to 512 characters.
    pub reason: String,
    /// Facts that the client reports about itself. Recorded as unverified.
    #[serde(default)]
    pub claimed: Facts,
}

/// How a grant was taken without rules and approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BreakGlass {
    /// The person, or the sealed code.
    pub by: Actor,
    /// The id of the incident.
    pub incident: String,
    /// Until when another person has to review the grant, or when every channel is told next that none did. Absent after
    /// the review, and for a grant that never became active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_until: Option<Timestamp>,
    /// The review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
}

/// The review of a grant by another person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Review {
    /// Who reviewed.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// What the person found.
    pub note: String,
}

/// The body of a review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewReview {
    /// What the person found: 1 to 2,000 characters.
    pub note: String,
}

/// The codes that are to be sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewCodes {
    /// Globs of the agents whose grants can be taken with them.
    pub agents: Vec<String>,
    /// How many: 1 to 20.
    pub count: u32,
    /// Who keeps them, or where, for timelines and lists: 1 to 64 characters.
    pub label: String,
    /// For how many days they are accepted: 1 to 400.
    pub days: u32,
}

/// A code that was sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SealedCode {
    /// The code, which is shown only now.
    #[serde(serialize_with = "secret::on_the_wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    pub code: Secret,
    /// Everything else about it.
    #[serde(flatten)]
    pub state: CodeState,
}

/// The codes that were sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SealedCodes {
    /// The codes.
    pub codes: Vec<SealedCode>,
}

/// A sealed code, without the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeState {
    /// Its id: `bg-…`
    pub id: BreakGlassCodeId,
    /// Who keeps it, or where.
    pub label: String,
    /// Globs of the agents whose grants can be taken with it.
    pub agents: Vec<String>,
    /// Who sealed it.
    pub sealed_by: Actor,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// Until when it is accepted.
    pub expires_at: Timestamp,
    /// Whether a grant was taken with it: it is accepted for no other.
    pub used: bool,
}

/// Sealed codes, the first to expire first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeList {
    /// Those that have not expired, used ones too.
    pub codes: Vec<CodeState>,
}

/// A code of valid form: `cjbg-` and nine groups of four hexadecimal digits. The last group is a checksum, which detects
/// a mistyped code without a request; it is not a security measure.
#[derive(Debug, Clone)]
pub struct BreakGlassCode(Secret);

/// Text that is not a code. The error does not show the text, which may be another secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCode {
    /// The prefix, length or alphabet is wrong.
    #[error("not a break-glass code: expected `cjbg-` and 36 hexadecimal digits")]
    Malformed,
    /// The form is right and the checksum is wrong.
    #[error("the checksum of the break-glass code does not match: it was mistyped or cut")]
    Checksum,
}

impl BreakGlassCode {
    /// The prefix of every code.
    pub const PREFIX: &'static str = "cjbg-";

    const DIGITS: usize = 32;

    /// Makes a code from random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::of(&digits)
    }

    /// Parses a code as a person types it: upper or lower case, with or without hyphens and spaces.
    pub fn parse(text: &str) -> Result<Self, InvalidCode> {
        let typed: String =
            text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect::<String>().to_ascii_lowercase();
        let digits = typed.strip_prefix("cjbg").ok_or(InvalidCode::Malformed)?;
        if digits.len() != Self::DIGITS + 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidCode::Malformed);
        }
        let (random, sum) = digits.split_at(Self::DIGITS);
        if sum == checksum(random) { Ok(Self::of(random)) } else { Err(InvalidCode::Checksum) }
    }

    fn of(digits: &str) -> Self {
        let all = format!("{digits}{}", checksum(digits));
        let mut text = String::from(Self::PREFIX);
        for (at, digit) in all.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                text.push('-');
            }
            text.push(digit);
        }
        Self(Secret::new(text))
    }

    /// The whole code, as it is printed and sent.
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

fn checksum(digits: &str) -> String {
    format!("{:04x}", crc32(digits.as_bytes()) & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_persons_type_it() {
        let code = BreakGlassCode::from_random([0xa5; 16]);
        let text = code.secret().reveal().to_owned();
        assert_eq!(text.len(), "cjbg-".len() + 9 * 4 + 8);
        for typed in [
            text.clone(),
            text.to_uppercase(),
            text.replace('-', " "),
            format!(" {}\n", text.replace('-', "")),
        ] {
            assert_eq!(BreakGlassCode::parse(&typed).unwrap().secret().reveal(), text, "{typed}");
        }
    }

    #[test]
    fn a_mistyped_code_and_another_secret_are_refused_without_showing_them() {
        let text = BreakGlassCode::from_random([0xa5; 16]).secret().reveal().to_owned();
        for (typed, expected) in [
            (text.replacen('a', "b", 1), InvalidCode::Checksum),
            (text[..40].to_owned(), InvalidCode::Malformed),
            (text.replace("a5", "zz"), InvalidCode::Malformed),
            ("cjop_0123".to_owned(), InvalidCode::Malformed),
            (String::new(), InvalidCode::Malformed),
        ] {
            assert_eq!(BreakGlassCode::parse(&typed).unwrap_err(), expected, "{typed}");
        }
    }
}
