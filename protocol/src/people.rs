//! Persons: sign-in, sessions, and their rights.

use serde::{Deserialize, Serialize};

use crate::{Person, Secret, Timestamp, secret};

/// What a person may do, by rules over their groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Right {
    /// See grants, timelines, registrations and rules.
    View,
    /// End grants and sessions, disable and enable agents, reconcile.
    Operate,
    /// Change registrations, auth tokens and rules.
    Register,
    /// Approve or deny requests of agents.
    Approve,
    /// Read recorded decisions with their facts, compare and replay rules, list sessions, review break-glass.
    Audit,
    /// Take grants in an emergency, without rules and approvals.
    BreakGlass,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 6] =
        [Self::View, Self::Operate, Self::Register, Self::Approve, Self::Audit, Self::BreakGlass];

    /// As on the wire and in rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Register => "register",
            Self::Approve => "approve",
            Self::Audit => "audit",
            Self::BreakGlass => "break_glass",
        }
    }
}

/// Exchanges the code of a sign-in for its session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExchangeCode {
    /// The code that the browser got at the end of the sign-in.
    #[serde(serialize_with = "secret::on_the_wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub code: Secret,
    /// The text whose SHA-256, in base64url, was the `challenge` at the start of the sign-in (RFC 7636).
    #[serde(serialize_with = "secret::on_the_wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub verifier: Secret,
}

/// A new session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewSession {
    /// The session's token, which is shown only now.
    #[serde(serialize_with = "secret::on_the_wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Secret,
    /// The session.
    pub session: SessionState,
}

/// A session of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionState {
    /// The person.
    pub person: Person,
    /// The groups that the issuer named at the sign-in.
    pub groups: Vec<String>,
    /// What the person may do about things that belong to no single agent. Rules may permit more for some agents.
    pub rights: Vec<Right>,
    /// When the person last proved to the issuer who they are.
    pub authenticated_at: Timestamp,
    /// The absolute end. A session ends earlier if it is not used.
    pub ends_at: Timestamp,
}

/// An open session, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenSession {
    /// The person.
    pub person: Person,
    /// The groups that the issuer named at the sign-in.
    pub groups: Vec<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// The last use, to the minute.
    pub last_used_at: Timestamp,
    /// The absolute end.
    pub ends_at: Timestamp,
}

/// Open sessions, the last used first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionList {
    /// At most 1,000.
    pub sessions: Vec<OpenSession>,
}

/// The answer to the end of a person's sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionsEnded {
    /// How many there were.
    pub ended: u64,
}
