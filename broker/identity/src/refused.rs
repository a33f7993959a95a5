//! Why is a token refused, and what can be done about it?

use domain::trust::Mismatch;
use protocol::{ErrorCode, Platform, Timestamp};

use crate::discovery::Outage;
use crate::token::Malformed;

/// Why a token does not prove that the workload is the agent.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not a token that could be verified.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No trust rule of the agent names its issuer; nothing was fetched.
    #[error("the token is from issuer `{found}`: expected {}", one_of(.trusted))]
    IssuerNotTrusted {
        /// The token's `iss`.
        found: String,
        /// The issuers of the agent's trust rules.
        trusted: Vec<String>,
    },
    /// Made for somebody else, or for somebody else too.
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
        /// What it says.
        from: Timestamp,
        /// The broker's time.
        now: Timestamp,
    },
    /// Still valid by its `exp`, but issued so long ago that no run uses it.
    #[error("the token was issued at {issued}: expected {oldest} or later")]
    TooOld {
        /// The token's `iat`.
        issued: Timestamp,
        /// The earliest that is accepted now.
        oldest: Timestamp,
    },
    /// The issuer publishes no such key, or a token without `kid` fits several.
    #[error("the token is signed with the key {}: expected one of the keys that `{issuer}` publishes for `{algorithm}`", key_name(.key_id))]
    UnknownKey {
        /// The token's `kid`.
        key_id: Option<String>,
        /// The token's `alg`.
        algorithm: String,
        /// The issuer whose keys were looked through.
        issuer: String,
    },
    /// The signature is not by the key that it names.
    #[error("the token's signature does not verify with the keys that `{issuer}` publishes")]
    Signature {
        /// The issuer whose keys were tried.
        issuer: String,
    },
    /// Genuine, and not what any trust rule describes.
    #[error("{}", in_words(.mismatches))]
    ClaimsNotTrusted {
        /// The first claim of each rule that does not hold.
        mismatches: Vec<Mismatch>,
    },
    /// A pull request that may come from a fork.
    #[error("{evidence}: expected a run that no fork can start")]
    Fork {
        /// Which claim says so.
        evidence: String,
    },
    /// A person has a shell in the job.
    #[error("{evidence}: expected a job that nobody reran with SSH")]
    SshRerun {
        /// Which claim says so.
        evidence: String,
    },
    /// An Azure DevOps service connection's token, which does not say which run it is for.
    #[error("{evidence}: expected a token of the pipeline itself")]
    ServiceConnection {
        /// Which claim says so.
        evidence: String,
    },
    /// A GitHub event that a person without write access can start.
    #[error("{evidence}: expected an event that takes write access")]
    Event {
        /// Which claim says so.
        evidence: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A CI system's token under a rule for another kind of issuer, which knows nothing of forks.
    #[error(
        "the token has {}, as `{}` tokens have, and the trust rule says `platform = \"{}\"`",
        claim_names(.claims), .platform.as_str(), .named.as_str()
    )]
    OtherPlatform {
        /// The rule's platform.
        named: Platform,
        /// The platform whose claims the token has.
        platform: Platform,
        /// The claims.
        claims: &'static [&'static str],
    },
    /// The issuer's keys cannot be had.
    #[error("the keys of issuer `{issuer}` cannot be had: {outage}")]
    IssuerUnavailable {
        /// The issuer.
        issuer: String,
        /// What was tried.
        outage: Outage,
    },
    /// A key that we have not seen, and the issuer was asked for new ones a moment ago.
    #[error("the token is signed with the key {}, unknown so far: `{issuer}` is asked for new keys again from {again}", key_name(.key_id))]
    AskedTooOften {
        /// The token's `kid`.
        key_id: Option<String>,
        /// The issuer.
        issuer: String,
        /// When it will be asked again.
        again: Timestamp,
    },
}

impl Refused {
    /// The stable code of the answer.
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
            Self::IssuerUnavailable { .. } | Self::AskedTooOften { .. } => ErrorCode::IssuerUnavailable,
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
            Self::IssuerUnavailable { .. } | Self::AskedTooOften { .. } => Some("try again in half a minute"),
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

/// More rules than this are not listed: the answer is read in a CI log.
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
