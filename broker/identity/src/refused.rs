//! The reasons to refuse a token, with hints.

use domain::trust::Mismatch;
use protocol::{ErrorCode, Platform, Timestamp};

use crate::discovery::Outage;
use crate::token::Malformed;

/// Why a token does not prove that the workload is the agent.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The token is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No trust rule of the agent names the token's issuer. No key was fetched.
    #[error("the token is from issuer `{found}`: expected {}", one_of(.trusted))]
    IssuerNotTrusted {
        /// The token's `iss`.
        found: String,
        /// The issuers of the agent's trust rules.
        trusted: Vec<String>,
    },
    /// The token has another audience, or a second one.
    #[error("the token is for the audience {}: expected {}, and no other beside it", all_of(.found), one_of(.expected))]
    Audience {
        /// The token's `aud`.
        found: Vec<String>,
        /// The audiences of the agent's trust rules for this issuer.
        expected: Vec<String>,
    },
    /// `exp` has passed.
    #[error("the token expired at {expired}: it is {now}")]
    Expired {
        /// The token's `exp`.
        expired: Timestamp,
        /// The broker's time.
        now: Timestamp,
    },
    /// `nbf` or `iat` is still to come.
    #[error("the token's `{claim}` is {from}: it is only {now}")]
    NotYetValid {
        /// `nbf` or `iat`.
        claim: &'static str,
        /// The time in the claim.
        from: Timestamp,
        /// The broker's time.
        now: Timestamp,
    },
    /// Not expired, but older than the longest age.
    #[error("the token was issued at {issued}: expected {oldest} or later")]
    TooOld {
        /// The token's `iat`.
        issued: Timestamp,
        /// The earliest accepted `iat`.
        oldest: Timestamp,
    },
    /// The issuer publishes no such key, or several keys fit a token without `kid`.
    #[error("the token is signed with the key {}: expected one of the keys that `{issuer}` publishes for `{algorithm}`", key_name(.key_id))]
    UnknownKey {
        /// The token's `kid`.
        key_id: Option<String>,
        /// The token's `alg`.
        algorithm: String,
        /// The issuer.
        issuer: String,
    },
    /// The signature is not by the named key.
    #[error("the token's signature does not verify with the keys that `{issuer}` publishes")]
    Signature {
        /// The issuer.
        issuer: String,
    },
    /// The token is genuine, and no trust rule accepts its claims.
    #[error("{}", in_words(.mismatches))]
    ClaimsNotTrusted {
        /// The first mismatch of each rule.
        mismatches: Vec<Mismatch>,
    },
    /// A pull request that may come from a fork.
    #[error("{evidence}: expected a run that no fork can start")]
    Fork {
        /// The claim that shows it.
        evidence: String,
    },
    /// The job was rerun with SSH, which gives a person a shell in it.
    #[error("{evidence}: expected a job that was not rerun with SSH")]
    SshRerun {
        /// The claim that shows it.
        evidence: String,
    },
    /// An Azure DevOps service connection's token, which does not say which run it is for.
    #[error("{evidence}: expected a token of the pipeline itself")]
    ServiceConnection {
        /// The claim that shows it.
        evidence: String,
    },
    /// A GitHub event that a person without write access can start.
    #[error("{evidence}: expected an event that takes write access")]
    Event {
        /// The claim that shows it.
        evidence: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A CI system's token under a rule for another platform, which has no checks for forks.
    #[error(
        "the token has {}, as `{}` tokens have, and the trust rule says `platform = \"{}\"`",
        claim_names(.claims), .platform.as_str(), .named.as_str()
    )]
    OtherPlatform {
        /// The rule's platform.
        named: Platform,
        /// The platform that the token's claims show.
        platform: Platform,
        /// The claims.
        claims: &'static [&'static str],
    },
    /// The issuer's keys cannot be fetched.
    #[error("the keys of issuer `{issuer}` cannot be had: {outage}")]
    IssuerUnavailable {
        /// The issuer.
        issuer: String,
        /// The failed request.
        outage: Outage,
    },
    /// The key is unknown, and the keys were refreshed a moment ago.
    #[error("the token is signed with the key {}, unknown so far: `{issuer}` is asked for new keys again from {again}", key_name(.key_id))]
    RefreshedRecently {
        /// The token's `kid`.
        key_id: Option<String>,
        /// The issuer.
        issuer: String,
        /// When the keys can be refreshed again.
        again: Timestamp,
    },
}

impl Refused {
    /// The stable code of the error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed(_)
            | Self::Audience { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::TooOld { .. }
            | Self::UnknownKey { .. }
            | Self::Signature { .. } => ErrorCode::OidcTokenInvalid,
            Self::IssuerNotTrusted { .. } => ErrorCode::IssuerNotTrusted,
            Self::ClaimsNotTrusted { .. } | Self::OtherPlatform { .. } => ErrorCode::ClaimsNotTrusted,
            Self::Fork { .. } | Self::ServiceConnection { .. } => ErrorCode::ForkRefused,
            Self::Event { .. } => ErrorCode::EventRefused,
            Self::SshRerun { .. } => ErrorCode::SshRerunRefused,
            // 503 for the last one too: a key that was rotated in this minute works on the retry.
            Self::IssuerUnavailable { .. } | Self::RefreshedRecently { .. } => ErrorCode::IssuerUnavailable,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(_) => Some(
                "send the ID token exactly as the platform gives it, without quotes, line breaks or a `Bearer` before it",
            ),
            Self::IssuerNotTrusted { .. } => Some(
                "add a `[[trust]]` rule with this `issuer` to the agent's registration, letter for letter",
            ),
            Self::Audience { .. } => Some(
                "ask the platform for a token with the `audience` of the agent's trust rule, and with no other",
            ),
            Self::Expired { .. } => Some(
                "ask the platform for a new token right before elevating, and compare the clocks of both machines",
            ),
            Self::NotYetValid { .. } => Some("compare the clocks of the issuer and of the broker"),
            Self::TooOld { .. } => Some("ask the platform for a new token right before elevating"),
            Self::UnknownKey { .. } | Self::Signature { .. } => {
                Some("the token was not made by this issuer, or it was changed on its way")
            }
            Self::ClaimsNotTrusted { .. } => Some(
                "`cloudanix-jit whoami` shows the claims of this run; compare them with the agent's trust rules",
            ),
            Self::Fork { .. } => Some(
                "run the step on a branch of the repository itself; or put `allow = [\"fork-pull-requests\"]` in the trust rule",
            ),
            Self::SshRerun { .. } => {
                Some("rerun the job without SSH; or put `allow = [\"ssh-rerun\"]` in the trust rule")
            }
            Self::ServiceConnection { .. } => Some(
                "ask for a token without a service connection; or put `allow = [\"service-connections\"]` in the trust rule",
            ),
            Self::Event { hint, .. } => Some(hint),
            Self::OtherPlatform { .. } => Some(
                "write the `platform` of the server that signs these tokens in the trust rule, so that its forks are told",
            ),
            Self::IssuerUnavailable { .. } | Self::RefreshedRecently { .. } => {
                Some("try again in half a minute")
            }
        }
    }
}

fn quoted(texts: &[String], between: &str) -> String {
    texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(between)
}

fn claim_names(claims: &[&str]) -> String {
    claims.iter().map(|claim| format!("`{claim}`")).collect::<Vec<_>>().join(" and ")
}

fn one_of(texts: &[String]) -> String {
    if texts.is_empty() { "none, the agent has no trust rule".to_owned() } else { quoted(texts, " or ") }
}

fn all_of(texts: &[String]) -> String {
    quoted(texts, " and ")
}

fn key_name(key_id: &Option<String>) -> String {
    key_id.as_ref().map_or_else(|| "without `kid`".to_owned(), |kid| format!("`{kid}`"))
}

/// At most so many rules are listed: the error is read in a CI log.
const LISTED: usize = 5;

fn in_words(mismatches: &[Mismatch]) -> String {
    let mut words: Vec<String> = mismatches
        .iter()
        .take(LISTED)
        .map(|mismatch| {
            let Mismatch { claim, expected, found } = mismatch;
            format!("the claim `{claim}` is {found}: expected {expected}")
        })
        .collect();
    if mismatches.len() > LISTED {
        words.push(format!("and {} more rules do not hold", mismatches.len() - LISTED));
    }
    words.join("; by another rule ")
}
