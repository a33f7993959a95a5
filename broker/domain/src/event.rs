//! What is written on a timeline?

use std::collections::BTreeMap;

use protocol::{Actor, EventKind, Source, Timestamp};

/// A row to be: the store gives it its number and its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// When it happened.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: EventKind,
    /// Who says so.
    pub source: Source,
    /// The operator or person who caused it.
    pub actor: Option<Actor>,
    /// In words.
    pub text: String,
    /// The same for programs.
    pub data: BTreeMap<String, String>,
}

impl NewEvent {
    /// Something that the broker did or saw.
    pub fn new(at: Timestamp, kind: EventKind, text: impl Into<String>) -> Self {
        Self { at, kind, source: Source::Broker, actor: None, text: text.into(), data: BTreeMap::new() }
    }

    /// The same, said by somebody else.
    #[must_use]
    pub fn said_by(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// With the operator or person who caused it.
    #[must_use]
    pub fn caused_by(mut self, actor: Option<Actor>) -> Self {
        self.actor = actor;
        self
    }

    /// With one fact for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.data.insert(name.to_owned(), value.to_string());
        self
    }
}
