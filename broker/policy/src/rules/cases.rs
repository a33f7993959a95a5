//! Test cases of a rule set: requests and the answers that are expected, as TOML.
//!
//! A case is the default request with other values for some of its keys. The keys under `[default]` are those of every
//! case in the file; a key of the case itself replaces it.
//!
//! The default request is of the agent `agent` (`build-workflow`, no groups, no labels), which proved its identity by
//! OIDC and asks at 12:00 UTC on Monday 2026-01-05 for the policy `policy` (sensitivity `normal`) for 15 minutes, with
//! heartbeats, in the scope `token` of the target `token`. It has no signed facts, no claims, no address, no posture and
//! no other grants.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use domain::facts::{
    AgentFacts, IdentityFacts, ObservedFacts, PolicyFacts, PostureFacts, RequestFacts, RunFacts, VERSION,
};
use domain::{Claims, DecisionFacts, Outcome, ScopeName, Sensitivity, TargetKind, UseCase, Verdict};
use protocol::{AgentId, Facts, Platform, PolicyName, Timestamp, Trust, Ttl};
use serde::Deserialize;
use toml::{Table, Value};

use super::RuleSet;

/// A case, and what the rules answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    pub name: String,
    pub verdict: Verdict,
    /// What was expected and what was found, if the case failed.
    pub failure: Option<String>,
}

/// A file of cases that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct CaseError {
    pub file: String,
    pub problem: String,
}

/// Runs the cases of one file.
pub fn run_cases(set: &RuleSet, file: &str, text: &str) -> Result<Vec<CaseResult>, CaseError> {
    let cases = read(text).map_err(|problem| CaseError { file: file.to_owned(), problem })?;
    Ok(cases.into_iter().map(|case| case.run(set)).collect())
}

fn read(text: &str) -> Result<Vec<Case>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    if file.case.is_empty() {
        return Err("expected at least one `[[case]]`, found none".to_owned());
    }
    let mut names = BTreeSet::new();
    let cases = file.case.into_iter().enumerate().map(|(n, keys)| {
        let shown = keys.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut merged = file.default.clone();
        merged.extend(keys);
        let case: Case = merged
            .try_into()
            .map_err(|error| format!("case {} `{shown}`: {}", n + 1, error.to_string().trim_end()))?;
        if names.insert(case.name.clone()) {
            Ok(case)
        } else {
            Err(format!("case {}: expected a name of its own, found `{shown}` again", n + 1))
        }
    });
    cases.collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    default: Table,
    #[serde(default)]
    case: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    expect: Outcome,
    /// One of the rules that decided.
    rule: Option<String>,
    #[serde(default)]
    agent: AgentKeys,
    #[serde(default = "default_policies")]
    policies: Vec<PolicyKeys>,
    #[serde(default = "default_time")]
    at: Timestamp,
    #[serde(default = "default_ttl")]
    ttl: Ttl,
    #[serde(default = "yes")]
    heartbeat: bool,
    #[serde(default = "default_scope")]
    scope: ScopeName,
    #[serde(default = "default_target")]
    target: TargetKind,
    account: Option<String>,
    #[serde(default)]
    trust: Trust,
    platform: Option<Platform>,
    issuer: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    signed: Facts,
    #[serde(default)]
    claims: Claims,
    address: Option<IpAddr>,
    country: Option<String>,
    #[serde(default)]
    posture: BTreeMap<String, PostureKeys>,
    #[serde(default)]
    run: RunKeys,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AgentKeys {
    id: AgentId,
    use_case: UseCase,
    groups: BTreeSet<String>,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a policy's name, or `{ name = \"…\", sensitivity = \"high\" }`")]
enum PolicyKeys {
    Name(PolicyName),
    Table(PolicyTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    name: PolicyName,
    #[serde(default)]
    sensitivity: Sensitivity,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected `true`, `false`, or `{ ok = true, as_of = \"…\" }`")]
enum PostureKeys {
    Ok(bool),
    Table(PostureTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostureTable {
    ok: bool,
    as_of: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RunKeys {
    live: u32,
    last_hour: u32,
    agent_live: u32,
    agent_last_hour: u32,
}

#[expect(
    clippy::expect_used,
    reason = "the ids are part of the program, and the tests use the default request"
)]
mod defaults {
    use super::*;

    impl Default for AgentKeys {
        fn default() -> Self {
            Self {
                id: "agent".parse().expect("`agent` is an agent's id"),
                use_case: UseCase::BuildWorkflow,
                groups: BTreeSet::new(),
                labels: BTreeMap::new(),
            }
        }
    }

    pub(super) fn default_policies() -> Vec<PolicyKeys> {
        vec![PolicyKeys::Name("policy".parse().expect("`policy` is a policy's name"))]
    }

    pub(super) fn default_ttl() -> Ttl {
        Ttl::from_secs(15 * 60).expect("15 minutes are a duration")
    }

    pub(super) fn default_scope() -> ScopeName {
        "token".parse().expect("`token` is a scope's name")
    }
}
use defaults::{default_policies, default_scope, default_ttl};

/// Monday 2026-01-05, 12:00 UTC.
fn default_time() -> Timestamp {
    Timestamp::from_secs(1_767_614_400)
}

fn default_target() -> TargetKind {
    TargetKind::Token
}

fn yes() -> bool {
    true
}

impl Case {
    fn run(self, set: &RuleSet) -> CaseResult {
        let (name, expect, rule) = (self.name.clone(), self.expect, self.rule.clone());
        let verdict = set.decide(&self.facts());
        let failure = failure(&verdict, expect, rule.as_deref());
        CaseResult { name, verdict, failure }
    }

    fn facts(self) -> DecisionFacts {
        // The set may name any zones, so it computes local times itself.
        let local = BTreeMap::new();
        let at = self.at;
        DecisionFacts {
            version: VERSION,
            nonce: "0".repeat(32),
            at,
            local,
            agent: AgentFacts {
                id: self.agent.id,
                use_case: self.agent.use_case,
                labels: self.agent.labels,
                groups: self.agent.groups,
                registration: "0".repeat(64),
            },
            request: RequestFacts {
                scope: self.scope,
                target: self.target,
                account: self.account,
                ttl: self.ttl,
                heartbeat: self.heartbeat,
                policies: self.policies.into_iter().map(PolicyKeys::facts).collect(),
            },
            identity: IdentityFacts {
                trust: self.trust,
                platform: self.platform,
                issuer: self.issuer,
                subject: self.subject,
                signed: self.signed,
                claims: self.claims,
            },
            observed: ObservedFacts { address: self.address, country: self.country },
            posture: self.posture.into_iter().map(|(source, said)| (source, said.facts(at))).collect(),
            run: RunFacts {
                live: self.run.live,
                last_hour: self.run.last_hour,
                agent_live: self.run.agent_live,
                agent_last_hour: self.run.agent_last_hour,
            },
        }
    }
}

impl PolicyKeys {
    fn facts(self) -> PolicyFacts {
        let (name, sensitivity) = match self {
            Self::Name(name) => (name, Sensitivity::default()),
            Self::Table(PolicyTable { name, sensitivity }) => (name, sensitivity),
        };
        PolicyFacts { name, sensitivity, digest: "0".repeat(64) }
    }
}

impl PostureKeys {
    fn facts(self, at: Timestamp) -> PostureFacts {
        let (ok, as_of) = match self {
            Self::Ok(ok) => (ok, at),
            Self::Table(PostureTable { ok, as_of }) => (ok, as_of.unwrap_or(at)),
        };
        PostureFacts { ok, as_of, expires_at: Timestamp::from_millis(i64::MAX) }
    }
}

fn failure(verdict: &Verdict, expect: Outcome, rule: Option<&str>) -> Option<String> {
    let rules = match verdict.rules.as_slice() {
        [] => "no rule".to_owned(),
        rules => rules.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", "),
    };
    let found = format!("{} by {rules}", verdict.outcome.as_str());
    let errors: String = verdict.errors.iter().map(|error| format!("; {error}")).collect();
    let expected = match rule {
        _ if verdict.outcome != expect => expect.as_str().to_owned(),
        Some(rule) if !verdict.rules.iter().any(|id| id == rule) => {
            format!("{} by `{rule}`", expect.as_str())
        }
        Some(_) | None => return None,
    };
    Some(format!("expected {expected}, found {found}{errors}"))
}
