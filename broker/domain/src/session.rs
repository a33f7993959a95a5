//! A session of a person who signed in.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Person, Timestamp};
use serde::{Deserialize, Serialize};

/// A person and what was learned at the sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The person.
    pub person: Person,
    /// The groups that the issuer named.
    pub groups: BTreeSet<String>,
    /// The person's accounts at CI platforms, by the platform's name, as the issuer named them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accounts: BTreeMap<String, String>,
    /// When the person proved to the issuer who they are; earlier than the sign-in here if the issuer had a session.
    pub authenticated_at: Timestamp,
    /// When the session began.
    pub started_at: Timestamp,
    /// The absolute end.
    pub ends_at: Timestamp,
}
