//! A decision: what the rules answered, from which facts, and by which rule set.

use protocol::rules::{Decided, DecisionKind};
use serde::{Deserialize, Serialize};

use crate::event::NewEvent;
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

/// What the timeline says of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionSummary {
    /// SHA-256 of the facts.
    pub facts: String,
    /// The verdict that counts.
    pub enforced: Decided,
}

impl DecisionSummary {
    /// Adds the decision to an event.
    #[must_use]
    pub fn on(&self, event: NewEvent) -> NewEvent {
        let mut event = event.with("facts", &self.facts);
        if let Some(rules) = &self.enforced.rules {
            event = event.with("rules", rules);
        }
        if !self.enforced.verdict.rules.is_empty() {
            event = event.with("decided_by", self.enforced.verdict.rules.join(", "));
        }
        event
    }

    /// The rules in the text of an event; empty if no rule set decided.
    pub(crate) fn in_words(&self) -> String {
        match &self.enforced.rules {
            None => String::new(),
            Some(rules) => {
                format!(" · rules {} · {}", rules.short(), self.enforced.verdict.rules.join(", "))
            }
        }
    }
}
