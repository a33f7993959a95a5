//! Trust rules: the OIDC tokens that prove that a workload is the agent.

use std::collections::BTreeMap;

use globset::{Glob, GlobBuilder, GlobMatcher};
use protocol::Platform;
use serde_json::Value;

/// A token's claims by name.
pub type Claims = BTreeMap<String, Value>;

/// One way to prove to be the agent: this issuer, this audience, these claims.
#[derive(Debug, Clone)]
pub struct TrustRule {
    /// The token's `iss`, letter for letter.
    pub issuer: String,
    /// Must be the token's `aud`; of several, every one.
    pub audience: String,
    /// The kind of system that the issuer belongs to.
    pub platform: Platform,
    /// All of them must hold.
    pub claims: BTreeMap<String, ClaimRule>,
    /// The exceptions: kinds of run that are refused unless the rule names them.
    pub allow: Vec<Exception>,
}

/// A run that is refused unless a rule allows it by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// A pull or merge request from a fork.
    ForkPullRequests,
    /// A CircleCI job rerun with SSH, where a person has a shell.
    SshRerun,
    /// A token of an Azure DevOps service connection, which does not identify the run.
    ServiceConnections,
    /// A GitHub workflow that another workflow started, which may have run for a fork's pull request.
    WorkflowRun,
    /// A GitHub workflow that a comment on an issue or a pull request started.
    IssueComment,
    /// Any other GitHub event that a person without write access can start, and every event that is not known.
    OutsiderEvents,
}

impl Exception {
    /// Every exception.
    pub const ALL: &'static [Self] = &[
        Self::ForkPullRequests,
        Self::SshRerun,
        Self::ServiceConnections,
        Self::WorkflowRun,
        Self::IssueComment,
        Self::OutsiderEvents,
    ];

    /// As in a registration's `allow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ForkPullRequests => "fork-pull-requests",
            Self::SshRerun => "ssh-rerun",
            Self::ServiceConnections => "service-connections",
            Self::WorkflowRun => "workflow-run",
            Self::IssueComment => "issue-comment",
            Self::OutsiderEvents => "outsider-events",
        }
    }
}

/// The condition on one claim.
#[derive(Debug, Clone)]
pub enum ClaimRule {
    /// The claim equals one of these.
    AnyOf(Vec<String>),
    /// The glob matches the whole claim; `*`, `?` and `[ab]` do not cross a `/`, `**` does.
    Glob(GlobMatcher),
}

/// A glob that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidGlob {
    /// The glob is invalid.
    #[error("`{pattern}` is not a glob")]
    Unreadable {
        /// As it was written.
        pattern: String,
        /// The parser's error.
        source: globset::Error,
    },
    /// A class that could match a `/`.
    #[error(
        "`[{class}]` in the glob `{pattern}`: expected letters, digits, `_` and ranges like `a-z` in brackets"
    )]
    Class {
        /// As it was written.
        pattern: String,
        /// The text between the brackets.
        class: String,
    },
    /// The glob matches every text.
    #[error("the glob `{pattern}` accepts everything: leave the claim out, or narrow it")]
    AcceptsEverything {
        /// As it was written.
        pattern: String,
    },
}

/// Texts that no claim equals, with as many parts as claims have. A glob that matches one of them narrows nothing.
const IMPROBABLE: &[&str] = &["~~", "~~/~~", "~~/~~/~~", "~~:~~"];

/// The first claim that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The claim's name.
    pub claim: String,
    /// The rule's condition.
    pub expected: String,
    /// The token's claim, shortened.
    pub found: String,
}

impl ClaimRule {
    /// A glob over the whole claim.
    pub fn glob(pattern: &str) -> Result<Self, InvalidGlob> {
        let pattern_text = || pattern.to_owned();
        if let Some(class) = class_beyond_letters(pattern) {
            return Err(InvalidGlob::Class { pattern: pattern_text(), class: class.to_owned() });
        }
        let glob: Glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .backslash_escape(false)
            .build()
            .map_err(|source| InvalidGlob::Unreadable { pattern: pattern_text(), source })?;
        let matcher = glob.compile_matcher();
        if IMPROBABLE.iter().any(|text| matcher.is_match(text)) {
            return Err(InvalidGlob::AcceptsEverything { pattern: pattern_text() });
        }
        Ok(Self::Glob(matcher))
    }

    fn accepts(&self, text: &str) -> bool {
        match self {
            Self::AnyOf(allowed) => allowed.iter().any(|one| one == text),
            Self::Glob(glob) => glob.is_match(text),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::AnyOf(allowed) => {
                allowed.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(" or ")
            }
            Self::Glob(glob) => format!("a match of the glob `{}`", glob.glob().glob()),
        }
    }
}

impl TrustRule {
    /// Whether a run of this kind is allowed.
    pub fn allows(&self, exception: Exception) -> bool {
        self.allow.contains(&exception)
    }

    /// Checks every condition against the claims. Numbers and booleans count as their JSON text; of a list, one
    /// element has to match.
    pub fn check(&self, claims: &Claims) -> Result<(), Mismatch> {
        for (name, rule) in &self.claims {
            let found = claims.get(name);
            let holds = match found {
                Some(Value::Array(elements)) => {
                    elements.iter().filter_map(scalar).any(|text| rule.accepts(&text))
                }
                Some(value) => scalar(value).is_some_and(|text| rule.accepts(&text)),
                None => false,
            };
            if !holds {
                return Err(Mismatch {
                    claim: name.clone(),
                    expected: rule.in_words(),
                    found: found.map_or_else(|| "nothing".to_owned(), shown),
                });
            }
        }
        Ok(())
    }
}

/// The first class that is more than letters, digits and `_`. `[!x]` matches every `/`, and `[+-9]` one.
fn class_beyond_letters(pattern: &str) -> Option<&str> {
    pattern
        .split('[')
        .skip(1)
        .map(|rest| rest.split(']').next().unwrap_or_default())
        .find(|class| !is_plain(class))
}

fn is_plain(class: &str) -> bool {
    let is_range = |from: u8, to: u8| {
        [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit]
            .iter()
            .any(|kind| kind(&from) && kind(&to))
    };
    let mut rest = class.as_bytes();
    while let [first, after @ ..] = rest {
        rest = match after {
            [b'-', last, after @ ..] if is_range(*first, *last) => after,
            _ if first.is_ascii_alphanumeric() || *first == b'_' => after,
            _ => return false,
        };
    }
    !class.is_empty()
}

/// The text of a string, number or boolean.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn shown(value: &Value) -> String {
    let text = scalar(value).unwrap_or_else(|| value.to_string());
    let mut cut: String = text.chars().take(200).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("`{cut}`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rule(claims: &[(&str, ClaimRule)]) -> TrustRule {
        TrustRule {
            issuer: "https://issuer.example".to_owned(),
            audience: "cloudanix-jit".to_owned(),
            platform: Platform::Oidc,
            claims: claims.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())).collect(),
            allow: Vec::new(),
        }
    }

    fn exactly(texts: &[&str]) -> ClaimRule {
        ClaimRule::AnyOf(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn all_claims_must_hold_and_the_first_that_does_not_is_named() {
        let rule = rule(&[("ref", exactly(&["refs/heads/main"])), ("repository_id", exactly(&["81234567"]))]);
        assert_eq!(
            rule.check(&claims(json!({"ref": "refs/heads/main", "repository_id": 81_234_567}))),
            Ok(())
        );
        assert_eq!(
            rule.check(&claims(json!({"ref": "refs/heads/x", "repository_id": "81234567"}))),
            Err(Mismatch {
                claim: "ref".to_owned(),
                expected: "`refs/heads/main`".to_owned(),
                found: "`refs/heads/x`".to_owned(),
            })
        );
        assert_eq!(rule.check(&claims(json!({"ref": "refs/heads/main"}))).unwrap_err().found, "nothing");
    }

    #[test]
    fn one_matching_element_of_a_list_is_enough() {
        let rule = rule(&[("context", exactly(&["prod"]))]);
        assert!(rule.check(&claims(json!({"context": ["dev", "prod"]}))).is_ok());
        for wrong in [json!([]), json!(["dev"]), json!([["prod"]]), json!({"prod": "prod"}), json!(null)] {
            assert!(rule.check(&claims(json!({"context": wrong}))).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_glob_covers_the_whole_claim_and_does_not_cross_a_slash() {
        let rule = rule(&[("ref", ClaimRule::glob("refs/heads/release-*").unwrap())]);
        assert!(rule.check(&claims(json!({"ref": "refs/heads/release-1.2"}))).is_ok());
        for wrong in ["refs/heads/release-1/evil", "x/refs/heads/release-1", "refs/heads/release", ""] {
            assert!(rule.check(&claims(json!({"ref": wrong}))).is_err(), "{wrong}");
        }
        let either = ClaimRule::glob("{foo,bar}").unwrap();
        assert!(either.accepts("foo") && !either.accepts("foo-evil") && !either.accepts("evil-bar"));
    }

    #[test]
    fn a_class_matches_letters_and_digits_and_never_a_slash() {
        let tag = ClaimRule::glob("refs/tags/v[0-9]*").unwrap();
        assert!(
            tag.accepts("refs/tags/v1.2") && !tag.accepts("refs/tags/vx") && !tag.accepts("refs/tags/v1/x")
        );
        for pattern in ["refs/heads/release[!x]*", "a[^x]", "a[+-9]", "a[/]", "a[A-z]", "a[]b]", "a[", "a[-]"]
        {
            let refused = ClaimRule::glob(pattern).unwrap_err().to_string();
            assert!(refused.contains(pattern), "{refused}");
        }
    }

    #[test]
    fn a_glob_that_matches_everything_is_refused() {
        for pattern in ["*", "**", "**/*", "?*", "?**", "{**,x}", "{x,*}", "*/*", "*:*", "??"] {
            let refused = ClaimRule::glob(pattern).unwrap_err();
            assert!(matches!(refused, InvalidGlob::AcceptsEverything { .. }), "{pattern}: {refused}");
        }
    }

    proptest! {
        /// Only `**` crosses a slash.
        #[test]
        fn no_pattern_without_two_stars_crosses_a_slash(
            pattern in "a([a-c]|[?]|[*]b|[\\[][a-c!^/+9-]{0,3}[\\]]|[{][a-c],[a-c][}]){0,6}",
            text in "a[a-c]{0,2}/[a-c]{0,3}",
        ) {
            if let Ok(rule) = ClaimRule::glob(&pattern) {
                prop_assert!(!rule.accepts(&text), "{pattern} {text}");
            }
        }

        #[test]
        fn an_exact_rule_accepts_its_own_text_only(text in ".{0,20}", other in ".{0,20}") {
            let rule = rule(&[("sub", exactly(&[&text]))]);
            let (same, another) = (claims(json!({"sub": text})), claims(json!({"sub": other})));
            prop_assert_eq!(rule.check(&same), Ok(()));
            prop_assert_eq!(rule.check(&another).is_ok(), text == other);
        }
    }
}
