//! The beginning of a report: a time ago, or a point in time.

use std::str::FromStr;
use std::time::Duration;

use protocol::Timestamp;

/// `7d`, `24h`, `30m`, `90s`, or an RFC 3339 time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// This long before the command.
    Ago(Duration),
    /// A point in time.
    At(Timestamp),
}

impl Since {
    /// The point in time for a command that runs at `now`.
    pub(crate) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(time) => now.minus(time),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        ago(text).map(Self::Ago).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!(
                "`{shown}` is not a beginning: expected a whole number and a unit, like `7d`, `24h` or `30m`, or a \
                 time, like `2026-06-08T14:00:00Z`"
            )
        })
    }
}

fn ago(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number = text.strip_suffix(unit)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let is_plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let seconds = is_plain.then(|| number.parse::<u64>().ok())??.checked_mul(seconds)?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-06-08T14:00:00.000Z";

    #[test]
    fn a_beginning_is_a_time_ago_or_a_point_in_time() {
        for (text, time) in [
            ("7d", "2026-06-01T14:00:00.000Z"),
            ("24h", "2026-06-07T14:00:00.000Z"),
            ("30m", "2026-06-08T13:30:00.000Z"),
            ("90s", "2026-06-08T13:58:30.000Z"),
            ("0d", NOW),
            ("213000000d", "1970-01-01T00:00:00.000Z"),
            ("2026-05-01T00:00:00Z", "2026-05-01T00:00:00.000Z"),
        ] {
            let since = text.parse::<Since>().unwrap();
            assert_eq!(since.before(NOW.parse().unwrap()).to_string(), time, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "7", "d", "-7d", "+7d", "7w", "7 d", "1.5h", "７d", "2026-05-01", "99999999999999999999d"]
        {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
