//! Who is registered?

use protocol::{AgentId, Timestamp};

use crate::Registration;

/// Whether an agent may elevate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentStatus {
    /// It may.
    Active,
    /// An operator switched it off.
    Disabled,
}

impl AgentStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
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
    /// Its name everywhere.
    pub id: AgentId,
    /// What was registered, parsed.
    pub registration: Registration,
    /// What was registered, as it was written.
    pub source: String,
    /// Whether it may elevate.
    pub status: AgentStatus,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When the registration or the status last changed.
    pub updated_at: Timestamp,
}
