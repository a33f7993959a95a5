//! Who caused a change: the holder of an operator token or of a break-glass code, or a person.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BreakGlassCodeId, OperatorName};

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Actor {
    /// The holder of the operator token with this name.
    Operator {
        /// The name.
        name: OperatorName,
    },
    /// A person who signed in.
    Person(Person),
    /// The holder of a sealed break-glass code.
    Code {
        /// The code's id.
        id: BreakGlassCodeId,
        /// Who keeps it, or where.
        label: String,
    },
}

/// A person, known by issuer and subject. The name is only shown: two persons can have the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Person {
    /// The OIDC issuer.
    pub issuer: String,
    /// The `sub` of the person at the issuer.
    pub subject: String,
    /// The name at the sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Person {
    /// Issuer and subject, by which the person is known.
    pub fn id(&self) -> (&str, &str) {
        (&self.issuer, &self.subject)
    }

    /// The name, or the subject of a person without one.
    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.subject)
    }
}

impl Actor {
    /// For the text of a timeline: `operator release-bot`, `Alice Example`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Operator { name } => format!("operator {name}"),
            Self::Person(person) => person.shown().to_owned(),
            Self::Code { id, label } => format!("code {id} ({label})"),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { name } => name.fmt(f),
            // With spaces, which no operator's name has.
            Self::Person(person) => {
                write!(f, "{} ({} at {})", person.shown(), person.subject, person.issuer)
            }
            Self::Code { id, label } => write!(f, "code {id} ({label})"),
        }
    }
}
