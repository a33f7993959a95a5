//! Which grants to list.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AgentId, GrantId, PolicyName, Timestamp};

/// Which grants to list, newest first: those for which every filter holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct GrantQuery {
    /// `live`, `ended` or `all` (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub state: Option<GrantsIn>,
    /// Only grants of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Only grants of this policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub policy: Option<PolicyName>,
    /// Only grants of this repository, as the platform signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Only grants of this commit, as the platform signed it: all of it, or its first characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Only grants of runs that this account started, as the platform signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Only grants that this person approved, ended, took by break-glass or reviewed: the subject or the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Only grants that were requested at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub from: Option<Timestamp>,
    /// Only grants that were requested before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub before: Option<Timestamp>,
    /// `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<GrantId>,
    /// Grants per page: 1 to 200, 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A part of all grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantsIn {
    /// Grants that have not ended.
    Live,
    /// Grants that have ended, and requests that were denied.
    Ended,
    /// Every grant.
    All,
}

impl GrantsIn {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Live, Self::Ended, Self::All];

    /// As it is written in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ended => "ended",
            Self::All => "all",
        }
    }
}

/// Text that is no part of the grants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `live`, `ended` or `all`, found `{0}`")]
pub struct InvalidPart(String);

impl FromStr for GrantsIn {
    type Err = InvalidPart;

    fn from_str(text: &str) -> Result<Self, InvalidPart> {
        let found = Self::ALL.into_iter().find(|part| part.as_str() == text);
        found.ok_or_else(|| InvalidPart(text.chars().take(80).collect()))
    }
}

impl GrantQuery {
    /// Every filter that is there, as in the address.
    pub fn filters(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("state", self.state.map(|state| state.as_str().to_owned())),
            ("agent", self.agent.as_ref().map(ToString::to_string)),
            ("policy", self.policy.as_ref().map(ToString::to_string)),
            ("repository", self.repository.clone()),
            ("commit", self.commit.clone()),
            ("actor", self.actor.clone()),
            ("person", self.person.clone()),
            ("from", self.from.map(|from| from.to_string())),
            ("before", self.before.map(|before| before.to_string())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
