//! Why is there no token, and what is to be done about it?

use std::borrow::Cow;

use super::unverified::Unfit;

/// Why the workload has no identity to present.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// Two CI systems say that this is theirs.
    #[error("found {} platforms at once: {} (by {})", found.len(), found.join(", "), markers.join(", "))]
    Ambiguous {
        /// Their names.
        found: Vec<&'static str>,
        /// By what each was recognised.
        markers: Vec<&'static str>,
    },
    /// `CLOUDANIX_PLATFORM` names nothing that we know.
    #[error("`CLOUDANIX_PLATFORM` is `{found}`: expected one of {}, none", known.join(", "))]
    UnknownPlatform {
        /// What it says.
        found: String,
        /// What it could say.
        known: Vec<&'static str>,
    },
    /// `CLOUDANIX_PLATFORM` names a platform that this is not.
    #[error("`CLOUDANIX_PLATFORM` is `{pinned}`, but this is not {pinned}: expected {marker}")]
    NotHere {
        /// What it says.
        pinned: &'static str,
        /// By what we would know.
        marker: &'static str,
    },
    /// Two variables say where the token is.
    #[error("both `CLOUDANIX_OIDC_TOKEN` and `CLOUDANIX_OIDC_TOKEN_FILE` are set: expected one of them")]
    TwoOverrides,
    /// The platform is here, and the job may not have a token yet.
    #[error("{platform} is here, but not set up: {what}")]
    Misconfigured {
        /// Its name.
        platform: &'static str,
        /// What is missing.
        what: Cow<'static, str>,
        /// How it is put right.
        hint: Cow<'static, str>,
    },
    /// The platform's server issues no tokens to jobs.
    #[error("{platform} gives this job no OIDC token: expected `{missing}`, found none")]
    NoIssuer {
        /// Its name.
        platform: &'static str,
        /// The variable by which we would know.
        missing: &'static str,
        /// What else there is.
        hint: &'static str,
    },
    /// The platform was asked and gave no token.
    #[error("no token from {source_of_token}: {what}")]
    NotGiven {
        /// As in [`super::Identity::token_source`].
        source_of_token: String,
        /// What happened.
        what: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// There is a token, and the broker would not accept it.
    #[error("the token from {source_of_token} cannot be used: {problem}")]
    Unfit {
        /// As in [`super::Identity::token_source`].
        source_of_token: String,
        /// What is wrong with it.
        problem: Unfit,
        /// The platform's way to another audience.
        audience_hint: &'static str,
    },
}

/// Whose fault it is, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdentityFault {
    /// The settings contradict themselves: exit code 2.
    Usage,
    /// There is no acceptable identity: exit code 4.
    Unauthenticated,
}

impl IdentityError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Ambiguous { .. } => {
                Some("set `CLOUDANIX_PLATFORM` to the one whose identity the agent trusts")
            }
            Self::UnknownPlatform { .. } => None,
            Self::NotHere { .. } => {
                Some("unset `CLOUDANIX_PLATFORM`, or set it to the platform that this is")
            }
            Self::TwoOverrides => Some("unset the one that is not meant"),
            Self::Misconfigured { hint, .. } => Some(hint),
            Self::NoIssuer { hint, .. } => Some(hint),
            Self::NotGiven { hint, .. } => *hint,
            Self::Unfit { problem, audience_hint, .. } => match problem {
                Unfit::WrongAudience { .. } => Some(audience_hint),
                Unfit::Expired { .. } => Some(
                    "a token that is minted when the job starts can be too old for a late step; if it is not, \
                     look at this machine's clock",
                ),
                Unfit::TooLong { .. } | Unfit::NotAJwt { .. } | Unfit::Unreadable | Unfit::Missing { .. } => {
                    Some("expected an OIDC ID token, a JWT of three parts signed by the platform")
                }
            },
        }
    }

    /// Whose fault it is.
    pub(crate) fn fault(&self) -> IdentityFault {
        match self {
            Self::Ambiguous { .. }
            | Self::UnknownPlatform { .. }
            | Self::NotHere { .. }
            | Self::TwoOverrides => IdentityFault::Usage,
            Self::Misconfigured { .. }
            | Self::NoIssuer { .. }
            | Self::NotGiven { .. }
            | Self::Unfit { .. } => IdentityFault::Unauthenticated,
        }
    }
}
