//! Rule sets and decisions, as operators see them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AgentId, GrantId, PolicyName, Timestamp};

mod comparison;

pub use comparison::{Comparison, Flip};

/// The most bytes of the files of one rule set.
pub const MAX_BYTES: usize = 1024 * 1024;
/// The longest body of a request that has a rule set in it.
pub const MAX_BODY: usize = 2 * MAX_BYTES;

/// Names a rule set: SHA-256 of its files, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DecisionKind {
    /// A request for a grant.
    Elevate,
    /// A request that asks for the decision alone.
    DryRun,
    /// A request for new credentials of an active grant.
    Credentials,
    /// A live grant, decided again.
    ReEvaluation,
    /// An approved request, when the client collects it; or a waiting one, decided again.
    Approval,
    /// A step that runs without a grant.
    Observe,
    /// A request in an emergency, about which no rule set is asked.
    BreakGlass,
}

impl DecisionKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Elevate,
        Self::DryRun,
        Self::Credentials,
        Self::ReEvaluation,
        Self::Approval,
        Self::Observe,
        Self::BreakGlass,
    ];

    /// As in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elevate => "elevate",
            Self::DryRun => "dry_run",
            Self::Credentials => "credentials",
            Self::ReEvaluation => "re_evaluation",
            Self::Approval => "approval",
            Self::Observe => "observe",
            Self::BreakGlass => "break_glass",
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// How many persons have to approve, if the answer is that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// Why rules could not be evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Why the boundary refuses the request; the rules were not asked then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by_boundary: Option<String>,
}

impl Verdict {
    /// The answer where no rule set is active: what the boundary permits, without a person.
    pub fn without_rules() -> Self {
        Self {
            outcome: Outcome::Allow,
            policy: None,
            rules: Vec::new(),
            hints: Vec::new(),
            quorum: None,
            errors: Vec::new(),
            refused_by_boundary: None,
        }
    }

    /// The answer where the boundary refuses the request.
    pub fn refused_by_boundary(why: &str) -> Self {
        let refused_by_boundary = Some(why.to_owned());
        Self { outcome: Outcome::Deny, refused_by_boundary, ..Self::without_rules() }
    }
}

/// The verdict of one rule set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decided {
    /// The rule set; none where no set is active.
    pub rules: Option<RuleSetDigest>,
    /// Its verdict.
    pub verdict: Verdict,
}

/// Which decisions a rule set makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RuleSetRole {
    /// It decides.
    Active,
    /// It is evaluated beside the active set, and decides only for the agents of a rollout.
    Candidate,
}

/// The body of `POST /v2/rules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApplyRules {
    /// The texts of the Cedar files by name: `hours.cedar`. At most 1 MiB in all.
    pub files: BTreeMap<String, String>,
    /// The texts of the test cases by name: `hours.toml`. All of them must pass.
    #[serde(default)]
    pub cases: BTreeMap<String, String>,
    /// The role of the set.
    pub role: RuleSetRole,
    /// Check the set and its cases, and store nothing.
    #[serde(default)]
    pub check_only: bool,
}

/// The answer to `POST /v2/rules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesApplied {
    /// The set.
    pub digest: RuleSetDigest,
    /// How many rules it has.
    pub rules: u32,
    /// How many test cases passed.
    pub cases: u32,
    /// What the operator should look at.
    pub warnings: Vec<String>,
    /// Whether anything changed: not if only a check was asked for, or if the set has the role already.
    pub changed: bool,
    /// The rules after the change.
    pub state: RulesState,
}

/// What changed the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RulesAction {
    /// Nothing yet.
    None,
    /// A set became active.
    Apply,
    /// A set became the candidate.
    ApplyCandidate,
    /// The candidate became active.
    Promote,
    /// The candidate decides for some agents.
    Rollout,
    /// The rollout ended; or, without a rollout, the set that was active before is active again.
    Rollback,
    /// The candidate was removed.
    ClearCandidate,
}

impl RulesAction {
    /// Every action.
    pub const ALL: &'static [Self] = &[
        Self::None,
        Self::Apply,
        Self::ApplyCandidate,
        Self::Promote,
        Self::Rollout,
        Self::Rollback,
        Self::ClearCandidate,
    ];

    /// As in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Apply => "apply",
            Self::ApplyCandidate => "apply_candidate",
            Self::Promote => "promote",
            Self::Rollout => "rollout",
            Self::Rollback => "rollback",
            Self::ClearCandidate => "clear_candidate",
        }
    }

    /// Parses the form of [`Self::as_str`].
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text)
    }
}

/// Which rule sets decide. Every replica decides by the same state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesState {
    /// Raised by every change; 0 before the first.
    pub version: i64,
    /// The set that decides; none: whatever the boundary permits.
    pub active: Option<RuleSetDigest>,
    /// The set that is evaluated beside it.
    pub candidate: Option<RuleSetDigest>,
    /// Globs of the agents for which the candidate decides.
    pub rollout: Vec<String>,
    /// The last change.
    pub action: RulesAction,
    /// When.
    pub at: Timestamp,
    /// By whom: an operator, or the configured folder.
    pub by: String,
}

/// A page of changes of the rules, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesHistory {
    /// The state after each change.
    pub changes: Vec<RulesState>,
    /// The value of `before` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// A stored rule set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleSetFiles {
    /// SHA-256 of the files.
    pub digest: RuleSetDigest,
    /// The texts by name.
    pub files: BTreeMap<String, String>,
    /// When the set was first applied.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

/// The body of `POST /v2/rules/rollout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RolloutRequest {
    /// Globs of agent ids, like `agent-web-*`: at least one, at most 100.
    pub agents: Vec<String>,
}

/// The body of `POST /v2/rules/replay`. One request compares a page of recorded decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReplayRequest {
    /// The files of the set to try.
    pub files: BTreeMap<String, String>,
    /// Only decisions since then.
    pub since: Timestamp,
    /// Only decisions about this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// `next` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// A recorded decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordedDecision {
    /// Its number among all decisions.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// What was decided.
    pub kind: DecisionKind,
    /// The verdict that counted.
    pub enforced: Decided,
    /// The verdict of the other set, if there were two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Decided>,
    /// Everything that the rules could see.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub facts: serde_json::Value,
    /// SHA-256 of the facts, as the timeline has it.
    pub facts_digest: String,
}

/// The answer to `GET …/{id}/decisions`: the decisions about one grant, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The grant.
    pub grant_id: GrantId,
    /// Its decisions; facts that are older than the retention are gone.
    pub decisions: Vec<RecordedDecision>,
}

/// The body of `POST /v2/rules/test`: either the requests, or a grant whose request is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestRules {
    /// Requests as test cases, in TOML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<String>,
    /// A grant, whose recorded request is tried as the rules see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

/// The answer to `POST /v2/rules/test`. Nothing was changed or granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesTested {
    /// The requests that were tried.
    pub cases: String,
    /// What the active set answers to each; absent if no set is active, so that the boundary alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Vec<CaseAnswer>>,
    /// What the candidate answers to each, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Vec<CaseAnswer>>,
}

/// What a rule set answers to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaseAnswer {
    /// The name of the case.
    pub name: String,
    /// The answer.
    pub verdict: Verdict,
    /// What the case expected instead, if it expected something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}
