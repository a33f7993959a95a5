//! A registered agent and its status.

use protocol::{AgentId, Timestamp};

use crate::Registration;

/// Whether an agent may elevate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentStatus {
    /// The agent may elevate.
    Active,
    /// An operator disabled the agent.
    Disabled,
}

impl AgentStatus {
    /// The stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    /// Parses the stored form of [`Self::as_str`].
    pub fn from_stored(text: &str) -> Option<Self> {
        match text {
            "active" => Some(Self::Active),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }
}

/// A registered non-human identity.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The agent's id.
    pub id: AgentId,
    /// The registration, parsed.
    pub registration: Registration,
    /// The source of the registration file.
    pub source: String,
    /// Whether it may elevate.
    pub status: AgentStatus,
    /// When the agent was first registered.
    pub created_at: Timestamp,
    /// When the registration or the status last changed.
    pub updated_at: Timestamp,
    /// Raised by every change of the registration or the status.
    pub revision: i64,
}
