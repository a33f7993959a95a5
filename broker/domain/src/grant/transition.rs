//! The result of a transition, and the error where the state does not allow it.

use protocol::EventKind;

use super::Grant;
use crate::decision::DecisionSummary;
use crate::event::NewEvent;

/// A grant after a transition, and the events of the transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// In its new state.
    pub grant: Grant,
    /// In the order of the timeline.
    pub events: Vec<NewEvent>,
}

impl Transition {
    /// Adds the decision to the event of the check, of the request for approval, or of the denial.
    #[must_use]
    pub fn decided(mut self, decision: &DecisionSummary) -> Self {
        let check = |event: &&mut NewEvent| {
            matches!(event.kind, EventKind::PolicyCheck | EventKind::Approval | EventKind::Denied)
        };
        if let Some(event) = self.events.iter_mut().find(check) {
            let mut decided = decision.on(event.clone());
            if event.kind != EventKind::Denied {
                decided.text.push_str(&decision.in_words());
            }
            *event = decided;
        }
        self
    }

    /// Two transitions as one: the later state, and the events of both.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.grant = later.grant;
        self.events.extend(later.events);
        self
    }
}

/// The state does not allow the transition.
#[derive(Debug, thiserror::Error)]
#[error("a grant that is {} cannot {wanted}", grant.status().as_str())]
pub struct WrongState {
    /// Unchanged.
    pub grant: Box<Grant>,
    /// The transition, as a verb: `become active`.
    pub wanted: &'static str,
}
