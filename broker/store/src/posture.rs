//! What other systems say about the subjects of requests.

use protocol::posture::PostureOutcome;
use protocol::{AgentId, Timestamp};

/// A statement of a source about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostureStatement {
    /// The configured name.
    pub source: String,
    /// `agent/ID`, or the name of a signed fact and its value: `repository/octo-org/app`.
    pub subject: String,
    pub ok: bool,
    /// Since when the source knows.
    pub as_of: Timestamp,
    pub expires_at: Timestamp,
}

/// The newest statement of a source about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPosture {
    pub statement: PostureStatement,
    pub received_at: Timestamp,
}

/// Which statements to list, by source and subject.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostureListing<'a> {
    pub source: Option<&'a str>,
    /// Start behind this source and subject.
    pub after: Option<(&'a str, &'a str)>,
    pub limit: u32,
}

/// The grants that a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Agent(AgentId),
    /// As the signed fact stands in the body of a grant: `"repository":"octo-org/app"`.
    Fact(String),
}

impl Subject {
    /// None for a subject that no grant can have.
    pub(crate) fn of(subject: &str) -> Option<Self> {
        let (name, value) = subject.split_once('/')?;
        if name == "agent" {
            return value.parse().ok().map(Self::Agent);
        }
        let value = serde_json::to_string(value).ok()?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_name.then(|| Self::Fact(format!("\"{name}\":{value}")))
    }
}

/// What a new statement does to what is known at `now`. Without an earlier statement there is nothing to compare.
pub(crate) fn outcome(
    before: Option<&PostureStatement>,
    new: &PostureStatement,
    now: Timestamp,
) -> PostureOutcome {
    if before.is_some_and(|before| new.as_of < before.as_of) {
        return PostureOutcome::Older;
    }
    let before = before.filter(|before| now < before.expires_at);
    let known = |statement: &PostureStatement| (now < statement.expires_at).then_some(statement.ok);
    // A grant is decided again when the statement that it was decided by expires.
    let ends_earlier = before.is_some_and(|before| new.expires_at < before.expires_at);
    if before.and_then(known) == known(new) && !ends_earlier {
        PostureOutcome::Unchanged
    } else {
        PostureOutcome::Changed
    }
}
