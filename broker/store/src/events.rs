//! The events of all grants, as readers get them.

use protocol::{EventKind, TimelineEvent};

/// The place of an event in the order of all events of a store. Positions grow and have gaps; one is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPosition(pub(crate) i64);

impl EventPosition {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// For a reader that keeps its position elsewhere.
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    pub fn as_number(self) -> i64 {
        self.0
    }
}

/// Which events to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFilter {
    All,
    /// Those of approvals and of break-glass. They are few, and have an index of their own.
    ForPersons,
}

impl EventFilter {
    pub(crate) fn include(self, kind: EventKind) -> bool {
        match self {
            Self::All => true,
            Self::ForPersons => matches!(kind, EventKind::Approval | EventKind::BreakGlass),
        }
    }
}

/// An event with its place among the events of all grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionedEvent {
    pub position: EventPosition,
    pub event: TimelineEvent,
}
