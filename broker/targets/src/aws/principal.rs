//! The role or user whose policies a step changes.

use std::fmt;

use domain::aws::IamArn;
use serde::{Deserialize, Serialize};

/// By its name, as IAM's calls take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Principal {
    Role(String),
    User(String),
}

impl Principal {
    pub(super) fn role(arn: &IamArn) -> Self {
        Self::Role(arn.name().to_owned())
    }

    pub(super) fn user(arn: &IamArn) -> Self {
        Self::User(arn.name().to_owned())
    }
}

/// `role/deploy`
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(name) => write!(f, "role/{name}"),
            Self::User(name) => write!(f, "user/{name}"),
        }
    }
}
