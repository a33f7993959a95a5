//! Break-glass: a grant that is taken in an emergency, and the codes that are sealed for one.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{Actor, BreakGlassCodeId, Timestamp};
use serde::{Deserialize, Serialize};

/// Within this time after its request, another person has to review a grant. Every channel is told when none did, and
/// again each time after it.
const REVIEW_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// How a grant was taken without rules and approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    /// The person, or the sealed code.
    pub by: Actor,
    /// The id of the incident.
    pub incident: String,
    /// Until when it has to be reviewed, or when channels are told next that it is not.
    pub review_until: Timestamp,
    /// The review.
    pub review: Option<Review>,
}

/// The review of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Another person than the one who took the grant.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// What the person found.
    pub note: String,
}

impl BreakGlass {
    /// A grant that is taken now.
    pub fn new(by: Actor, incident: String, now: Timestamp) -> Self {
        Self { by, incident, review_until: next_review(now), review: None }
    }

    /// Whether it was taken by this person, or with this code. A person is known by issuer and subject.
    pub fn is_by(&self, actor: &Actor) -> bool {
        match (&self.by, actor) {
            (Actor::Person(own), Actor::Person(other)) => own.id() == other.id(),
            (Actor::Code { id: own, .. }, Actor::Code { id: other, .. }) => own == other,
            (Actor::Operator { .. } | Actor::Person(_) | Actor::Code { .. }, _) => false,
        }
    }
}

/// Until when a grant has to be reviewed that was requested now, or of which channels are told now.
pub fn next_review(now: Timestamp) -> Timestamp {
    now.plus(REVIEW_WITHIN)
}

/// What an event says of break-glass, in its field [`BreakGlassStep::FIELD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakGlassStep {
    /// The grant was requested.
    Requested,
    /// It was not reviewed in time.
    ReviewOverdue,
    /// It was reviewed.
    Reviewed,
}

impl BreakGlassStep {
    /// The name of the field.
    pub const FIELD: &str = "break_glass";

    /// As in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::ReviewOverdue => "review_overdue",
            Self::Reviewed => "reviewed",
        }
    }

    /// What the fields of an event say.
    pub fn of(fields: &BTreeMap<String, String>) -> Option<Self> {
        let said = fields.get(Self::FIELD)?;
        [Self::Requested, Self::ReviewOverdue, Self::Reviewed].into_iter().find(|step| step.as_str() == said)
    }
}

/// A code that is good for one grant, as it is stored: its hash, never the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCode {
    /// Its id.
    pub id: BreakGlassCodeId,
    /// SHA-256 of the code, in hexadecimal.
    pub hash: String,
    /// Who keeps it, or where.
    pub label: String,
    /// Globs of the agents whose grants can be taken with it.
    pub agents: Vec<String>,
    /// Who sealed it.
    pub sealed_by: Actor,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// Until when it is accepted.
    pub expires_at: Timestamp,
}

impl SealedCode {
    /// Its holder, for timelines.
    pub fn actor(&self) -> Actor {
        Actor::Code { id: self.id.clone(), label: self.label.clone() }
    }
}
