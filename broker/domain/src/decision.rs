//! A decision: what the rules answered, from which facts, and by which rule set.

use protocol::rules::{Decided, DecisionKind};
use serde::{Deserialize, Serialize};

use crate::facts::DecisionFacts;

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
