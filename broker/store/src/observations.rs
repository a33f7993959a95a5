//! Observations: decisions about steps that run without a grant, and what the steps called.

use domain::Decision;
use protocol::actions::Action;
use protocol::{AgentId, Timestamp};

/// How many different actions, by name and status, are kept for one observation.
pub const OBSERVED_ACTIONS_KEPT: usize = 1000;

/// An observed step.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredObservation {
    pub id: String,
    /// The number of its decision.
    pub number: i64,
    pub decision: Decision,
    /// By name and status, with how often.
    pub actions: Vec<Action>,
}

/// Which observations to read, in the order of their numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ObservationListing<'a> {
    pub agent: Option<&'a AgentId>,
    pub since: Option<Timestamp>,
    /// Start behind this number.
    pub after: Option<i64>,
    pub limit: u32,
}

/// What became of reported actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionsAdded {
    Done,
    /// The agent has no such observation.
    Unknown,
    /// There would be more than [`OBSERVED_ACTIONS_KEPT`]: nothing was added.
    TooMany,
}
