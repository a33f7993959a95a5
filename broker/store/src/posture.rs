//! What other systems say about the subjects of requests.

use protocol::Timestamp;

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
