//! Decisions as they are recorded, and what they were made from.

use std::time::Duration;

use domain::facts::RunFacts;
use domain::{Decision, DecisionKind};
use protocol::{AgentId, GrantId, Timestamp};

use crate::StoredPosture;

/// How many dry runs are kept for one agent: another one replaces the oldest.
pub const DRY_RUNS_KEPT: u32 = 1000;

/// A request for everything that a decision needs from the store.
#[derive(Debug, Clone, Copy)]
pub struct ContextRequest<'a> {
    pub agent: &'a AgentId,
    /// The run, as its issuer signs it.
    pub run: Option<&'a str>,
    /// As [`domain::facts::subjects`] has them.
    pub subjects: &'a [String],
    /// A live grant that is decided again: it is not counted.
    pub except: Option<&'a GrantId>,
    pub now: Timestamp,
}

/// What a decision needs from the store, read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionContext {
    /// When it was read.
    pub at: Timestamp,
    /// The version of the rules; 0 before the first change.
    pub rules_version: i64,
    /// [`domain::Agent::revision`]; none if there is no such agent.
    pub agent_revision: Option<i64>,
    /// Each counted up to [`domain::facts::COUNTED`]. A grant without a known run counts for every run, and a request
    /// without a known run counts every grant of the agent.
    pub run: RunFacts,
    pub subjects: Vec<String>,
    /// What holds at `at` about the subjects, by source and subject.
    pub posture: Vec<StoredPosture>,
    /// The newest change of posture about the subjects; 0 before the first.
    pub posture_seq: i64,
}

/// A decision about a new grant, which is valid as long as its context is.
#[derive(Debug, Clone, Copy)]
pub struct NewDecision<'a> {
    pub decision: &'a Decision,
    /// What the decision was made from. The grant is refused if the version of the rules or the agent is another one.
    pub context: &'a DecisionContext,
    /// When the grant has to be decided again, if nothing changes before.
    pub reevaluate_at: Option<Timestamp>,
    /// Whether the grant is refused if the counts of grants are others.
    pub check_run: bool,
    /// Whether the grant is refused if posture about the subjects changed.
    pub check_posture: bool,
}

/// A decision as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDecision {
    /// Numbers grow with time, and one is never used twice.
    pub number: i64,
    /// None for a dry run, an observation, and a denied request whose record was purged.
    pub grant: Option<GrantId>,
    pub observation: Option<String>,
    pub decision: Decision,
    /// SHA-256 of the facts in canonical JSON.
    pub facts_digest: String,
}

/// Which decisions to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecisionFilter<'a> {
    pub since: Option<Timestamp>,
    pub agent: Option<&'a AgentId>,
    /// Empty: every kind.
    pub kinds: &'a [DecisionKind],
}

impl DecisionFilter<'_> {
    /// A decision from `since` on has a greater number than every decision from before this time. Numbers are given when a
    /// decision is stored and times when it is made, so the two orders differ by the length of a request and by how far
    /// the clocks of replicas are apart.
    pub(crate) fn numbered_before(since: Timestamp) -> Timestamp {
        since.minus(Duration::from_secs(300))
    }
}

/// When a live grant has to be decided again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reevaluation {
    pub at: Timestamp,
    /// Raised whenever the rules, posture or the agent change.
    pub mark: i64,
}
