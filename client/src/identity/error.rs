//! Why the workload has no identity, with the advice for each reason.

use std::borrow::Cow;

use super::unverified::Unfit;

/// Why the workload has no identity to present.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IdentityError {
    /// Two CI systems were detected.
    #[error("found {} platforms at once: {} (by {})", found.len(), found.join(", "), markers.join(", "))]
    Ambiguous {
        /// Their names.
        found: Vec<&'static str>,
        /// The sign of each.
        markers: Vec<&'static str>,
    },
    /// `CLOUDANIX_PLATFORM` names an unknown platform.
    #[error("`CLOUDANIX_PLATFORM` is `{found}`: expected one of {}, none", known.join(", "))]
    UnknownPlatform {
        /// The value of the variable.
        found: String,
        /// The platforms that it can name.
        known: Vec<&'static str>,
    },
    /// `CLOUDANIX_PLATFORM` names a platform that was not detected.
    #[error("`CLOUDANIX_PLATFORM` is `{pinned}`, but this is not {pinned}: expected {marker}")]
    NotHere {
        /// The value of the variable.
        pinned: &'static str,
        /// The sign of the platform.
        marker: &'static str,
    },
    /// Two variables say where the token is.
    #[error("both `CLOUDANIX_OIDC_TOKEN` and `CLOUDANIX_OIDC_TOKEN_FILE` are set: expected one of them")]
    TwoOverrides,
    /// The platform was detected, and the job is not set up to get a token.
    #[error("{platform} is here, but not set up: {what}")]
    Misconfigured {
        /// Its name.
        platform: &'static str,
        /// The missing part.
        what: Cow<'static, str>,
        /// How to set it up.
        hint: Cow<'static, str>,
    },
    /// The platform's server issues no tokens to jobs.
    #[error("{platform} gives this job no OIDC token: expected `{missing}`, found none")]
    NoIssuer {
        /// Its name.
        platform: &'static str,
        /// The variable that the platform did not set.
        missing: &'static str,
        /// The alternative.
        hint: &'static str,
    },
    /// The platform issued no token.
    #[error("no token from {source_of_token}: {what}")]
    NotIssued {
        /// As in [`super::Identity::token_source`].
        source_of_token: String,
        /// What happened.
        what: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// The broker would refuse the token.
    #[error("the token from {source_of_token} cannot be used: {problem}")]
    Unfit {
        /// As in [`super::Identity::token_source`].
        source_of_token: String,
        /// Why the broker would refuse it.
        problem: Unfit,
        /// The platform's way to another audience.
        audience_hint: &'static str,
    },
}

/// The kind of an [`IdentityError`], for exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFault {
    /// The settings contradict each other.
    Usage,
    /// There is no acceptable identity.
    Unauthenticated,
}

impl IdentityError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
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
            Self::NotIssued { hint, .. } => *hint,
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

    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ambiguous { .. } => "platform_ambiguous",
            Self::UnknownPlatform { .. } => "platform_unknown",
            Self::NotHere { .. } => "platform_not_detected",
            Self::TwoOverrides => "oidc_token_set_twice",
            Self::Misconfigured { .. } => "platform_not_set_up",
            Self::NoIssuer { .. } => "platform_has_no_issuer",
            Self::NotIssued { .. } => "oidc_token_not_issued",
            Self::Unfit { .. } => "oidc_token_unfit",
        }
    }

    /// Whether the settings or the identity are at fault.
    pub fn fault(&self) -> IdentityFault {
        match self {
            Self::Ambiguous { .. }
            | Self::UnknownPlatform { .. }
            | Self::NotHere { .. }
            | Self::TwoOverrides => IdentityFault::Usage,
            Self::Misconfigured { .. }
            | Self::NoIssuer { .. }
            | Self::NotIssued { .. }
            | Self::Unfit { .. } => IdentityFault::Unauthenticated,
        }
    }
}
