//! Lengths of time as pipelines write them: `90s`, `15m`, `1h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time as people write it in a pipeline: a whole number and one of `s`, `m`, `h`. At least one
/// second, at most 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, example = "15m"))]
pub struct Ttl(u32);

/// Text that is not a length of time that a grant can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTtl {
    /// Neither a number with a unit nor anything near it.
    #[error("`{0}` is not a duration: expected a whole number and a unit, like `90s`, `15m` or `1h`")]
    Malformed(String),
    /// Shorter than a second or longer than a day.
    #[error("`{0}` is out of range: expected `1s` to `24h`")]
    OutOfRange(String),
}

impl Ttl {
    const MAX_SECS: u32 = 24 * 60 * 60;

    /// The shortest: a second.
    pub const MIN: Self = Self(1);

    /// For a number of whole seconds between 1 and a day.
    pub fn from_secs(secs: u32) -> Result<Self, InvalidTtl> {
        if (1..=Self::MAX_SECS).contains(&secs) {
            Ok(Self(secs))
        } else {
            Err(InvalidTtl::OutOfRange(format!("{secs}s")))
        }
    }

    /// In whole seconds.
    pub fn as_secs(self) -> u32 {
        self.0
    }
}

impl From<Ttl> for Duration {
    fn from(ttl: Ttl) -> Self {
        Self::from_secs(u64::from(ttl.0))
    }
}

/// In the largest unit that is exact: `15m`, not `900s`.
impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            secs if secs % 3600 == 0 => write!(f, "{}h", secs / 3600),
            secs if secs % 60 == 0 => write!(f, "{}m", secs / 60),
            secs => write!(f, "{secs}s"),
        }
    }
}

impl FromStr for Ttl {
    type Err = InvalidTtl;

    fn from_str(text: &str) -> Result<Self, InvalidTtl> {
        let shown = || text.chars().take(40).collect();
        let malformed = || InvalidTtl::Malformed(shown());
        let unit = text.chars().next_back().ok_or_else(malformed)?;
        let number = text.strip_suffix(unit).unwrap_or_default();
        let seconds_per_unit: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(malformed()),
        };
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(seconds_per_unit))
            .and_then(|secs| u32::try_from(secs).ok())
            .and_then(|secs| Self::from_secs(secs).ok())
            .ok_or_else(|| InvalidTtl::OutOfRange(shown()))
    }
}

impl TryFrom<String> for Ttl {
    type Error = InvalidTtl;

    fn try_from(text: String) -> Result<Self, InvalidTtl> {
        text.parse()
    }
}

impl From<Ttl> for String {
    fn from(ttl: Ttl) -> String {
        ttl.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn valid_durations_are_parsed() {
        for (text, secs) in [("90s", 90), ("15m", 900), ("1h", 3600), ("24h", 86_400), ("0015m", 900)] {
            assert_eq!(text.parse::<Ttl>().map(Ttl::as_secs), Ok(secs), "{text}");
        }
        assert_eq!("900s".parse::<Ttl>().unwrap().to_string(), "15m");
    }

    #[test]
    fn invalid_durations_are_refused_with_a_reason() {
        for text in ["", "15", "m", "15 m", "1h30m", "-5m", "+5m", "1.5h", "15M", "15min", "１５m", "∞"] {
            assert!(matches!(text.parse::<Ttl>(), Err(InvalidTtl::Malformed(_))), "{text}");
        }
        for text in ["0s", "0h", "25h", "86401s", "99999999999999999999h"] {
            assert!(matches!(text.parse::<Ttl>(), Err(InvalidTtl::OutOfRange(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_values_parse_to_the_same_value(secs in 1..=86_400_u32) {
            let ttl = Ttl::from_secs(secs).unwrap();
            prop_assert_eq!(ttl.to_string().parse(), Ok(ttl));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Ttl>();
        }
    }
}
