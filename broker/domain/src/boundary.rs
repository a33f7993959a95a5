//! Everything that an agent may ever be granted.
//!
//! One module for each target has the schema of its part of `[boundary]`. Another target is a module, a variant of
//! [`TargetKind`] and a variant of [`TargetScope`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use protocol::{PolicyName, Ttl};
use serde::{Deserialize, Serialize};

use self::aws::AwsScope;
use self::token::TokenScope;
use crate::registration::Sensitivity;

pub mod aws;
pub(crate) mod keys;
mod policies;
pub mod token;

pub use policies::Policies;

/// A kind of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A signed JWT that this broker issues; built in.
    Token,
    /// An AWS account.
    Aws,
}

impl TargetKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Token, Self::Aws];

    /// As in registrations, requests and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Aws => "aws",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One place at a target, how access is provisioned there, and the policies that are permitted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetScope {
    /// This broker's own tokens.
    Token(TokenScope),
    /// An AWS account.
    Aws(AwsScope),
}

/// A resource that only one agent may name: the target does not record which grant changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExclusiveResource {
    /// The key of the registration that names it: `service_account`.
    pub key: &'static str,
    /// The resource, unique over all targets.
    pub name: String,
}

impl TargetScope {
    /// The kind of target.
    pub fn kind(&self) -> TargetKind {
        match self {
            Self::Token(_) => TargetKind::Token,
            Self::Aws(_) => TargetKind::Aws,
        }
    }

    /// The permitted policies.
    pub fn policy_names(&self) -> Vec<&PolicyName> {
        match self {
            Self::Token(scope) => scope.policies.names().collect(),
            Self::Aws(scope) => scope.mode.policy_names(),
        }
    }

    /// The same place with these policies alone, in this order.
    #[must_use]
    pub fn narrowed_to(&self, policies: &[PolicyName]) -> Self {
        match self {
            Self::Token(scope) => Self::Token(TokenScope { policies: scope.policies.only(policies) }),
            Self::Aws(scope) => Self::Aws(scope.narrowed_to(policies)),
        }
    }

    /// What a policy means here, as one line of text: two policies that permit the same have the same line. None if it is
    /// not permitted here.
    pub fn meaning_of(&self, policy: &PolicyName) -> Option<String> {
        match self {
            Self::Token(scope) => {
                let (_, meaning) = scope.policies.iter().find(|(name, _)| *name == policy)?;
                Some(format!("token {}", meaning.as_str()))
            }
            Self::Aws(scope) => scope.meaning_of(policy),
        }
    }

    /// The account at the target, if it has accounts.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Token(_) => None,
            Self::Aws(scope) => Some(&scope.account),
        }
    }

    /// A resource in it that only one agent may name.
    pub fn exclusive_resource(&self) -> Option<ExclusiveResource> {
        match self {
            Self::Token(_) => None,
            Self::Aws(scope) => scope.exclusive_resource(),
        }
    }

    /// Warnings for the operator who registers it.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Token(_) => Vec::new(),
            Self::Aws(scope) => scope.warnings(),
        }
    }
}

/// Names a scope of a boundary: `production`. A boundary with one scope needs none: it has the name of its target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeName(String);

impl ScopeName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<TargetKind> for ScopeName {
    fn from(kind: TargetKind) -> Self {
        Self(kind.as_str().to_owned())
    }
}

impl FromStr for ScopeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let longest = protocol::elevate::MAX_TARGET;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if text.is_empty() || text.len() > longest || !text.bytes().all(fits) {
            return Err(format!(
                "expected at most {longest} lower-case letters, digits, `-`, `_` and `.`, found `{text}`"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One choice of a boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The name for `--target`.
    pub name: ScopeName,
    /// The longest grant in it.
    pub max_session: Ttl,
    /// Of policies that are not of normal sensitivity.
    pub sensitivity: BTreeMap<PolicyName, Sensitivity>,
    /// The place and its policies.
    pub target: TargetScope,
}

/// Everything that an agent may ever be granted: one scope or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    first: Scope,
    others: Vec<Scope>,
}

impl Boundary {
    /// Takes a first scope, so that a boundary is never empty.
    pub fn new(first: Scope, others: Vec<Scope>) -> Self {
        Self { first, others }
    }

    /// The scope that the registration names first.
    pub fn first(&self) -> &Scope {
        &self.first
    }

    /// The scope, if the boundary has exactly one.
    pub fn only(&self) -> Option<&Scope> {
        self.others.is_empty().then_some(&self.first)
    }

    /// The scope with this name.
    pub fn scope(&self, name: &str) -> Option<&Scope> {
        self.scopes().find(|scope| scope.name.as_str() == name)
    }

    /// Every scope, in the registration's order.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        std::iter::once(&self.first).chain(&self.others)
    }
}
