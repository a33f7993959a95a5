//! Which tokens prove that a workload is the agent?

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
    /// What is refused unless it is named here.
    pub allow: Vec<Exception>,
}

/// A run that is refused unless a rule allows it by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// A pull or merge request from a fork.
    ForkPullRequests,
    /// A CircleCI job rerun with SSH, where a person has a shell.
    SshRerun,
}

impl Exception {
    /// Every exception.
    pub const ALL: &'static [Self] = &[Self::ForkPullRequests, Self::SshRerun];

    /// As in a registration's `allow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ForkPullRequests => "fork-pull-requests",
            Self::SshRerun => "ssh-rerun",
        }
    }
}

/// What one claim must be.
#[derive(Debug, Clone)]
pub enum ClaimRule {
    /// Exactly one of these.
    AnyOf(Vec<String>),
    /// The whole of it matches; `*` and `?` do not cross a `/`, `**` does.
    Glob(GlobMatcher),
}

/// A glob that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is not a glob")]
pub struct InvalidGlob {
    pattern: String,
    source: globset::Error,
}

/// The first claim that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The claim's name.
    pub claim: String,
    /// What the rule says.
    pub expected: String,
    /// What the token says, shortened.
    pub found: String,
}

impl ClaimRule {
    /// A glob over the whole claim.
    pub fn glob(pattern: &str) -> Result<Self, InvalidGlob> {
        let invalid = |source| InvalidGlob { pattern: pattern.to_owned(), source };
        let glob: Glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .backslash_escape(false)
            .build()
            .map_err(invalid)?;
        Ok(Self::Glob(glob.compile_matcher()))
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

    /// Holds every rule against the claims. Numbers and booleans count as their JSON text; of a list, one
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
    fn one_element_of_a_list_is_enough_and_nothing_else_is_looked_into() {
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

    proptest! {
        #[test]
        fn an_exact_rule_accepts_its_own_text_only(text in ".{0,20}", other in ".{0,20}") {
            let rule = rule(&[("sub", exactly(&[&text]))]);
            let (same, another) = (claims(json!({"sub": text})), claims(json!({"sub": other})));
            prop_assert_eq!(rule.check(&same), Ok(()));
            prop_assert_eq!(rule.check(&another).is_ok(), text == other);
        }
    }
}
