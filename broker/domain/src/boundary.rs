//! What may an agent ever be given?

use std::collections::BTreeMap;
use std::fmt;

use protocol::PolicyName;
use serde::{Deserialize, Serialize};

use crate::aws::AwsPlace;

/// Where permission is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A signed JWT that this broker issues; built in.
    Token,
    /// An AWS account.
    Aws,
}

impl TargetKind {
    /// Every target that this broker can change.
    pub const ALL: &'static [Self] = &[Self::Token, Self::Aws];

    /// As in registrations, requests and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Aws => "aws",
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

/// Where exactly, with all that is fixed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This broker's own tokens.
    Token,
    /// In AWS.
    Aws(AwsPlace),
}

impl Place {
    /// The kind of target that it is a place of.
    pub fn target(&self) -> TargetKind {
        match self {
            Self::Token => TargetKind::Token,
            Self::Aws(_) => TargetKind::Aws,
        }
    }
}

/// Everything an agent may ever be given: one place, and each permitted policy with what it means there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// Where.
    pub place: Place,
    /// Permitted policies. The value is what the target understands: for `token` what the token's `scope` claim
    /// carries; for `aws` a managed policy's ARN or a document, and with pod identity a role's ARN.
    pub policies: BTreeMap<PolicyName, String>,
}

impl Boundary {
    /// The kind of target.
    pub fn target(&self) -> TargetKind {
        self.place.target()
    }
}
