//! The reasons for which a client revokes a grant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why the client revokes a grant, as the client reports it. On the wire `exit:0`, `signal:9`, `interrupted:15`,
/// `parent-ended`, `not-started`, `wrapper-lost`, `asked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RevokeCause {
    /// The step's command ended with this exit code.
    StepExited(i32),
    /// The step's command was killed by this signal.
    StepKilled(i32),
    /// The client received this signal while the step ran.
    Interrupted(i32),
    /// The client's parent process ended while the step ran.
    ParentEnded,
    /// The step's command could not be started.
    NotStarted,
    /// The client died; its keeper revokes the grant.
    WrapperLost,
    /// Requested by `cloudanix-jit revoke`, a post step or a person.
    Asked,
}

/// Text that is not a cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a cause: expected `exit:CODE`, `signal:N`, `interrupted:N`, `parent-ended`, \
     `not-started`, `wrapper-lost` or `asked`"
)]
pub struct InvalidCause(String);

impl RevokeCause {
    /// The cause as text for the timeline: `step finished · exit 0`.
    pub fn in_words(self) -> String {
        match self {
            Self::StepExited(code) => format!("step finished · exit {code}"),
            Self::StepKilled(signal) => format!("step killed · {}", signal_name(signal)),
            Self::Interrupted(signal) => format!("interrupted · {}", signal_name(signal)),
            Self::ParentEnded => "interrupted · the client's parent process ended".to_owned(),
            Self::NotStarted => "step could not be started".to_owned(),
            Self::WrapperLost => "wrapper killed · keeper revoked the grant".to_owned(),
            Self::Asked => "asked by the client".to_owned(),
        }
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        6 => "SIGABRT",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

impl fmt::Display for RevokeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepExited(code) => write!(f, "exit:{code}"),
            Self::StepKilled(signal) => write!(f, "signal:{signal}"),
            Self::Interrupted(signal) => write!(f, "interrupted:{signal}"),
            Self::ParentEnded => f.write_str("parent-ended"),
            Self::NotStarted => f.write_str("not-started"),
            Self::WrapperLost => f.write_str("wrapper-lost"),
            Self::Asked => f.write_str("asked"),
        }
    }
}

impl FromStr for RevokeCause {
    type Err = InvalidCause;

    fn from_str(text: &str) -> Result<Self, InvalidCause> {
        let invalid = || InvalidCause(text.chars().take(40).collect());
        let number = |number: &str| number.parse().map_err(|_| invalid());
        match text.split_once(':') {
            Some(("exit", code)) => Ok(Self::StepExited(number(code)?)),
            Some(("signal", signal)) => Ok(Self::StepKilled(number(signal)?)),
            Some(("interrupted", signal)) => Ok(Self::Interrupted(number(signal)?)),
            Some(_) => Err(invalid()),
            None => match text {
                "parent-ended" => Ok(Self::ParentEnded),
                "not-started" => Ok(Self::NotStarted),
                "wrapper-lost" => Ok(Self::WrapperLost),
                "asked" => Ok(Self::Asked),
                _ => Err(invalid()),
            },
        }
    }
}

impl TryFrom<String> for RevokeCause {
    type Error = InvalidCause;

    fn try_from(text: String) -> Result<Self, InvalidCause> {
        text.parse()
    }
}

impl From<RevokeCause> for String {
    fn from(cause: RevokeCause) -> String {
        cause.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_read_back() {
        for cause in [
            RevokeCause::StepExited(3),
            RevokeCause::StepKilled(9),
            RevokeCause::Interrupted(15),
            RevokeCause::ParentEnded,
            RevokeCause::NotStarted,
            RevokeCause::WrapperLost,
            RevokeCause::Asked,
        ] {
            assert_eq!(cause.to_string().parse(), Ok(cause));
        }
        for wrong in ["", "exit", "exit:", "exit:x", "signal:", "Asked", "exit:0:1"] {
            assert!(wrong.parse::<RevokeCause>().is_err(), "{wrong}");
        }
    }
}
