//! Posture: what other systems say about the subjects of requests.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The body of `PUT /v2/posture/{source}/{subject}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostureReport {
    /// Whether the source finds the subject in order.
    pub ok: bool,
    /// The time of the source's finding.
    pub as_of: Timestamp,
    /// Until when it holds; at most `max_age` of the source after `as_of`, which is also the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What a report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PostureOutcome {
    /// It is stored, and live grants of the subject are decided again.
    Changed,
    /// It is stored, and says what was known.
    Unchanged,
    /// It is older than what is known, and changed nothing.
    Older,
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostureStored {
    /// What the report did.
    pub outcome: PostureOutcome,
    /// Until when it holds.
    pub expires_at: Timestamp,
}

/// What a source says about a subject now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Posture {
    /// The configured name of the source.
    pub source: String,
    /// `agent/ID`, or a signed fact and its value: `repository/octo-org/app`.
    pub subject: String,
    /// Whether the source finds the subject in order.
    pub ok: bool,
    /// The time of the finding.
    pub as_of: Timestamp,
    /// Until when it holds.
    pub expires_at: Timestamp,
    /// When the broker received it.
    pub received_at: Timestamp,
}

/// A page of postures, by source and subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostureList {
    /// The postures.
    pub postures: Vec<Posture>,
    /// The value of `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
