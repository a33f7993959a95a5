//! What may an agent ever be given?

use std::collections::BTreeMap;
use std::fmt;

use protocol::PolicyName;
use serde::{Deserialize, Serialize};

/// Where permission is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A signed JWT that this broker issues; built in.
    Token,
}

impl TargetKind {
    /// Every target that this broker can change.
    pub const ALL: &'static [Self] = &[Self::Token];

    /// As in registrations, requests and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
        }
    }

    /// The target with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything an agent may ever be given: one target, and each permitted policy with what it means there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// Where.
    pub target: TargetKind,
    /// Permitted policies; for `token` the value is what the token's `scope` claim carries.
    pub policies: BTreeMap<PolicyName, String>,
}
