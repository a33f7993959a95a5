//! Matches a verified token with trust rules, and derives the facts about the run and the permitted reuse of the token.
//! The profile of each platform is in a file of its own.

mod azure_devops;
mod bitbucket;
mod buildkite;
mod circleci;
mod foreign;
mod forgejo;
mod gcp;
mod github;
mod gitlab;
mod jenkins;
mod kubernetes;
mod oidc;

use std::fmt::Write as _;
use std::time::Duration;

use domain::{Claims, Exception, Principal, ReplayGuard, TrustRule};
use protocol::{AgentId, Facts, Platform, Provenance, Timestamp, Trust};
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::foreign::Foreign;
use crate::refused::Refused;
use crate::signature::VerifiedToken;
use crate::token::UnverifiedToken;

/// The properties of a platform's tokens.
pub(crate) struct Profile {
    /// Maps claims to facts about the run.
    facts: fn(&Claims) -> Facts,
    /// Finds the exceptions that the rule must allow by name.
    exceptions: fn(&Claims, &TrustRule) -> Vec<Found>,
    /// The permitted reuse of a token.
    replay: Replay,
    /// Templates of claims that identify the run, in order of preference: a job rather than its run.
    run: &'static [&'static str],
}

/// An exception that a run needs, and the claim that shows it.
struct Found {
    exception: Exception,
    evidence: String,
}

impl Found {
    fn fork(evidence: impl Into<String>) -> Vec<Self> {
        vec![Self { exception: Exception::ForkPullRequests, evidence: evidence.into() }]
    }
}

/// The permitted reuse of a token.
#[derive(Clone, Copy)]
enum Replay {
    /// None: tokens are issued on demand, and the next step requests its own.
    SingleUse,
    /// Within one job, which gets one token for all steps. A template of the claims that identify the job.
    OneJob(&'static str),
    /// By one agent: a long-running workload reads the same token repeatedly.
    OneAgent,
}

fn profile(platform: Platform) -> &'static Profile {
    match platform {
        Platform::Github => &github::PROFILE,
        Platform::Forgejo => &forgejo::PROFILE,
        Platform::Gitlab => &gitlab::PROFILE,
        Platform::Bitbucket => &bitbucket::PROFILE,
        Platform::Circleci => &circleci::PROFILE,
        Platform::Jenkins => &jenkins::PROFILE,
        Platform::Buildkite => &buildkite::PROFILE,
        Platform::AzureDevops => &azure_devops::PROFILE,
        Platform::Kubernetes => &kubernetes::PROFILE,
        Platform::Gcp => &gcp::PROFILE,
        Platform::Oidc => &oidc::PROFILE,
    }
}

/// Applies every rule. The first that accepts decides. If none accepts, a missing exception is reported rather than a
/// mismatch of claims.
pub(crate) fn admit(
    token: &VerifiedToken<'_>,
    agent: &AgentId,
    rules: &[&TrustRule],
    leeway: Duration,
    max_age: Duration,
) -> Result<Principal, Refused> {
    let token = token.get();
    let mut mismatches = Vec::new();
    let mut refused: Option<Refused> = None;
    for rule in rules {
        match accepts(rule, &token.claims) {
            Ok(profile) => return Ok(principal(token, agent, rule.platform, profile, leeway, max_age)),
            Err(Refused::ClaimsNotTrusted { mismatches: more }) => mismatches.extend(more),
            Err(other) => refused = refused.or(Some(other)),
        }
    }
    Err(refused.unwrap_or(Refused::ClaimsNotTrusted { mismatches }))
}

/// Applies one rule.
pub(crate) fn accepts(rule: &TrustRule, claims: &Claims) -> Result<&'static Profile, Refused> {
    rule.check(claims).map_err(|mismatch| Refused::ClaimsNotTrusted { mismatches: vec![mismatch] })?;
    if let Some(Foreign { platform, claims }) = foreign::detect(rule.platform, claims) {
        return Err(Refused::OtherPlatform { named: rule.platform, platform, claims });
    }
    let profile = profile(rule.platform);
    let needed = (profile.exceptions)(claims, rule).into_iter().find(|found| !rule.allows(found.exception));
    needed.map_or(Ok(profile), |found| Err(needs(found)))
}

fn needs(found: Found) -> Refused {
    let Found { exception, evidence } = found;
    match exception {
        Exception::ForkPullRequests => Refused::Fork { evidence },
        Exception::SshRerun => Refused::SshRerun { evidence },
        Exception::ServiceConnections => Refused::ServiceConnection { evidence },
        Exception::WorkflowRun => Refused::Event {
            evidence,
            hint: "start the step by a push or by hand; or put `allow = [\"workflow-run\"]` in the trust rule",
        },
        Exception::IssueComment => Refused::Event {
            evidence,
            hint: "start the step by a push or by hand; or put `allow = [\"issue-comment\"]` in the trust rule",
        },
        Exception::OutsiderEvents => Refused::Event {
            evidence,
            hint: "start the step by a push or by hand; or put `allow = [\"outsider-events\"]` in the trust rule",
        },
    }
}

fn principal(
    token: &UnverifiedToken,
    agent: &AgentId,
    platform: Platform,
    profile: &Profile,
    leeway: Duration,
    max_age: Duration,
) -> Principal {
    let usable_until: Timestamp = token.expires.min(token.issued.plus(max_age));
    Principal {
        agent_id: agent.clone(),
        provenance: Provenance {
            trust: Trust::Oidc,
            platform: Some(platform),
            issuer: Some(token.issuer.clone()),
            subject: Some(presentable(&token.subject)),
            signed: (profile.facts)(&token.claims),
            claimed: Facts::default(),
        },
        claims: token.claims.iter().filter(|(name, _)| *name != "jti").map(cloned).collect(),
        run: run(profile, token),
        replay: Some(ReplayGuard {
            token_hash: token_hash(token),
            bound_to: bound_to(profile.replay, agent, &token.claims),
            forget_after: usable_until.plus(leeway).plus(Duration::from_secs(1)),
        }),
    }
}

fn cloned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// The hash that identifies a token: over `jti`, or the signed part. Not over the signature: an ECDSA signature can be
/// rewritten into another valid one.
fn token_hash(token: &UnverifiedToken) -> String {
    let issuer = &token.issuer;
    let named = match &token.id {
        Some(id) => format!("jti\n{issuer}\n{id}"),
        None => format!("signed\n{issuer}\n{}", token.signed_part),
    };
    hex(&named)
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// SHA-256 of the issuer and the run, in hexadecimal, because claims are untrusted text.
fn run(profile: &Profile, token: &UnverifiedToken) -> Option<String> {
    let named = profile.run.iter().find_map(|template| filled(template, &token.claims))?;
    Some(hex(&format!("run\n{}\n{named}", token.issuer)))
}

fn bound_to(replay: Replay, agent: &AgentId, claims: &Claims) -> Option<String> {
    match replay {
        Replay::SingleUse => None,
        Replay::OneJob(template) => Some(format!("{agent}|{}", fill(template, claims).unwrap_or_default())),
        Replay::OneAgent => Some(agent.to_string()),
    }
}

/// The claim as text; `None` if it is empty, or is no string, number or boolean.
fn text(claims: &Claims, name: &str) -> Option<String> {
    match claims.get(name)? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Fills the template's `{claim}`s with printable text; `None` if a claim is missing.
fn fill(template: &str, claims: &Claims) -> Option<String> {
    filled(template, claims).map(|text| presentable(&text))
}

/// Fills the template with the claims unchanged.
fn filled(template: &str, claims: &Claims) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(&text(claims, name)?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

/// Makes a fact printable on terminals and in logs: branches and workflows can have any name.
fn presentable(text: &str) -> String {
    crate::token::cut(text).replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod samples;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_template_is_filled_only_if_every_claim_is_there() {
        let claims = claims(json!({"a/b": "x", "n": 7, "t": true, "empty": "", "list": ["x"]}));
        assert_eq!(fill("{a/b}-{n}/{t}", &claims).as_deref(), Some("x-7/true"));
        for missing in ["{none}", "{a/b}{empty}", "{list}", "{a/b"] {
            assert_eq!(fill(missing, &claims), None, "{missing}");
        }
    }

    #[test]
    fn control_characters_in_facts_are_escaped() {
        let claims = claims(json!({"workflow": "deploy\u{1b}[2J\nok"}));
        assert_eq!(fill("{workflow}", &claims).as_deref(), Some("deploy\u{fffd}[2J\u{fffd}ok"));
    }
}
