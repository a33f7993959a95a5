//! A decision: what the rules answered, from which facts, and by which rule set.

use std::fmt;
use std::str::FromStr;

use protocol::PolicyName;
use serde::{Deserialize, Serialize};

use crate::facts::DecisionFacts;

/// Names a rule set: SHA-256 of its files, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleSetDigest(String);

impl RuleSetDigest {
    /// As text: 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For people: the first twelve digits.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for RuleSetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RuleSetDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            let shown: String = text.chars().take(80).collect();
            Err(format!("expected the digest of a rule set (64 hexadecimal digits), found `{shown}`"))
        }
    }
}

impl TryFrom<String> for RuleSetDigest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RuleSetDigest> for String {
    fn from(digest: RuleSetDigest) -> Self {
        digest.0
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// A request for a grant.
    Elevate,
    /// A request that asks for the decision alone.
    DryRun,
    /// A request for new credentials of an active grant.
    Credentials,
    /// A live grant, decided again.
    ReEvaluation,
    /// A step that runs without a grant.
    Observe,
}

impl DecisionKind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::Elevate, Self::DryRun, Self::Credentials, Self::ReEvaluation, Self::Observe];

    /// As in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elevate => "elevate",
            Self::DryRun => "dry_run",
            Self::Credentials => "credentials",
            Self::ReEvaluation => "re_evaluation",
            Self::Observe => "observe",
        }
    }

    /// Parses the form of [`Self::as_str`].
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

/// The answer of a rule set, from the most to the least permissive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Allowed without a person.
    Allow,
    /// Allowed if a person approves.
    NeedsApproval,
    /// Denied.
    Deny,
    /// A rule could not be evaluated, which denies.
    Error,
}

impl Outcome {
    /// As in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::NeedsApproval => "needs_approval",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }
}

/// What a rule set answers to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// The policy that was refused, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
    /// The ids of the rules that decided, in order. Empty if nothing permits the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The hints of these rules, for the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Why rules could not be evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl Verdict {
    /// The answer where no rule set is active: what the boundary permits, without a person.
    pub fn without_rules() -> Self {
        let none = Vec::new;
        Self { outcome: Outcome::Allow, policy: None, rules: none(), hints: none(), errors: none() }
    }
}

/// The verdict of one rule set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The rule set; none where no set is active.
    pub rules: Option<RuleSetDigest>,
    /// Its verdict.
    pub verdict: Verdict,
}

/// A decision, as it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided.
    pub kind: DecisionKind,
    /// From which facts.
    pub facts: DecisionFacts,
    /// The verdict that counts.
    pub enforced: Decided,
    /// The verdict of the other set, if there are two: it changes nothing.
    pub shadow: Option<Decided>,
}
