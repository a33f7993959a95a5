//! An event of a timeline, before the store appends it.

use std::collections::BTreeMap;

use protocol::{Actor, EventKind, Source, Timestamp};

/// A new event: the store assigns its position and its link in the hash chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The time of the event.
    pub at: Timestamp,
    /// The kind of event.
    pub kind: EventKind,
    /// The source that states the event.
    pub source: Source,
    /// The operator who caused it.
    pub actor: Option<Actor>,
    /// The text for people.
    pub text: String,
    /// The fields for programs.
    pub data: BTreeMap<String, String>,
}

impl NewEvent {
    /// Creates an event whose source is the broker.
    pub fn new(at: Timestamp, kind: EventKind, text: impl Into<String>) -> Self {
        Self { at, kind, source: Source::Broker, actor: None, text: text.into(), data: BTreeMap::new() }
    }

    /// Creates an event with another source.
    #[must_use]
    pub fn said_by(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Adds the operator who caused the event.
    #[must_use]
    pub fn caused_by(mut self, actor: Option<Actor>) -> Self {
        self.actor = actor;
        self
    }

    /// Adds one field for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.data.insert(name.to_owned(), value.to_string());
        self
    }
}
