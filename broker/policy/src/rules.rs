//! Rules: Cedar policies that decide by context, within the boundary.
//!
//! A rule set answers two questions about each requested policy: `elevate`, and then `elevate_unattended`. Cedar skips a
//! rule that fails, even a `forbid`; here a failure in any answer refuses the request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::PolicySet;
use domain::facts::PolicyFacts;
use domain::{DecisionFacts, Outcome, RuleSetDigest, Verdict};

mod cases;
mod facts;
mod files;
mod literals;
mod parse;
mod problems;
mod recorded;
pub(crate) mod schema;
mod slices;
mod zones;

pub use cases::{CaseError, CaseResult, run_cases};
pub use files::{MAX_BYTES, MAX_FILES};
pub use problems::{RuleProblem, RuleProblems};
pub use recorded::case_of;
pub use schema::{SCHEMA, schema};
pub use zones::local_times;

pub(crate) use facts::{datetime, text};
pub(crate) use parse::checked_policies;
pub(crate) use slices::Answer;

use facts::View;
use schema::Action;
use slices::Slices;

/// Rules that were parsed and checked against the schema. It makes no [`crate::Permit`], so that a replay cannot either.
#[derive(Debug, Clone)]
pub struct RuleSet(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    digest: RuleSetDigest,
    warnings: Vec<String>,
    /// How many persons have to approve what a rule refuses without approval, by the rule's id.
    quorums: BTreeMap<String, u32>,
    /// The hint of each rule.
    hints: BTreeMap<String, Option<String>>,
    zones: BTreeSet<String>,
    reads: literals::Reads,
    slices: Slices,
    policies: PolicySet,
}

impl RuleSet {
    /// Parses and checks the rules in files, by name. Reports all problems at once.
    pub fn parse(files: &BTreeMap<String, String>) -> Result<Self, RuleProblems> {
        parse::parse(files).map(|checked| Self(Arc::new(checked)))
    }

    /// Names the set: the same files have the same digest.
    pub fn digest(&self) -> &RuleSetDigest {
        &self.0.digest
    }

    /// What is probably a mistake: a rule that can never apply.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// The ids of all rules, sorted.
    pub fn rule_ids(&self) -> impl Iterator<Item = &str> {
        self.0.hints.keys().map(String::as_str)
    }

    /// The time zones that the rules name.
    pub fn zones(&self) -> &BTreeSet<String> {
        &self.0.zones
    }

    /// Whether a rule reads the posture.
    pub fn reads_posture(&self) -> bool {
        self.0.reads.posture
    }

    /// Whether a rule reads other grants of the agent and run.
    pub fn reads_run(&self) -> bool {
        self.0.reads.run
    }

    /// All rules, for analysis.
    pub fn policies(&self) -> &PolicySet {
        &self.0.policies
    }

    /// Decides a request by its facts alone: the same facts have the same verdict at any time.
    pub fn decide(&self, facts: &DecisionFacts) -> Verdict {
        let view = match View::new(facts, &self.0.zones, None) {
            Ok(view) => view,
            Err(error) => return self.failed(None, [(String::new(), error)]),
        };
        let mut worst: Option<Verdict> = None;
        let mut asking = BTreeSet::new();
        let mut permits = BTreeSet::new();
        for policy in &facts.request.policies {
            let verdict = self.decide_policy(&view, policy);
            match verdict.outcome {
                Outcome::Allow => permits.extend(verdict.rules.iter().cloned()),
                // One approval is for all policies of the request.
                Outcome::NeedsApproval => asking.extend(verdict.rules.iter().cloned()),
                Outcome::Deny | Outcome::Error => {}
            }
            if worst.as_ref().is_none_or(|worst| verdict.outcome > worst.outcome) {
                worst = Some(verdict);
            }
        }
        match worst {
            Some(worst) if worst.outcome == Outcome::NeedsApproval => {
                let quorum = asking.iter().filter_map(|id| self.0.quorums.get(id)).max().copied();
                let verdict = self.verdict(Outcome::NeedsApproval, None, asking);
                Verdict { policy: worst.policy, quorum: Some(quorum.unwrap_or(1)), ..verdict }
            }
            Some(worst) if worst.outcome != Outcome::Allow => worst,
            Some(_) => self.verdict(Outcome::Allow, None, permits),
            // Nothing was asked, so no rule permits it.
            None => self.verdict(Outcome::Deny, None, BTreeSet::new()),
        }
    }

    fn decide_policy(&self, view: &View, policy: &PolicyFacts) -> Verdict {
        let mut permits = BTreeSet::new();
        for action in Action::ALL {
            let answer = match self.ask(view, policy, action) {
                Ok(answer) => answer,
                Err(error) => return self.failed(Some(policy), [(String::new(), error)]),
            };
            if answer.is_allowed() {
                permits.extend(answer.permits);
                continue;
            }
            if !answer.errors.is_empty() {
                return self.failed(Some(policy), answer.errors);
            }
            let outcome = match action {
                Action::Elevate => Outcome::Deny,
                Action::ElevateUnattended => Outcome::NeedsApproval,
            };
            return self.verdict(outcome, Some(policy), answer.forbids);
        }
        self.verdict(Outcome::Allow, None, permits)
    }

    fn ask(&self, view: &View, policy: &PolicyFacts, action: Action) -> Result<Answer, String> {
        let resource = facts::policy(policy);
        let request = view.question(action, &resource, None)?;
        let mut answer = Answer::default();
        for rules in self.0.slices.of(action, &view.principals, &Some(resource)) {
            answer.ask(rules, &request, &view.entities);
        }
        Ok(answer)
    }

    fn verdict(&self, outcome: Outcome, policy: Option<&PolicyFacts>, rules: BTreeSet<String>) -> Verdict {
        let hints = rules.iter().filter_map(|id| self.0.hints.get(id)?.clone()).collect();
        let policy = policy.map(|policy| policy.name.clone());
        Verdict {
            outcome,
            policy,
            rules: rules.into_iter().collect(),
            hints,
            quorum: None,
            errors: Vec::new(),
            refused_by_boundary: None,
        }
    }

    /// The verdict where rules, or the facts themselves, could not be evaluated.
    fn failed(
        &self,
        policy: Option<&PolicyFacts>,
        errors: impl IntoIterator<Item = (String, String)>,
    ) -> Verdict {
        let errors: BTreeMap<String, String> = errors.into_iter().collect();
        let rules = errors.keys().filter(|id| !id.is_empty()).cloned().collect();
        let described = |(id, error): (&String, &String)| match id.as_str() {
            "" => error.clone(),
            id => format!("rule `{id}`: {error}"),
        };
        let errors = errors.iter().map(described).collect();
        Verdict { errors, ..self.verdict(Outcome::Error, policy, rules) }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::facts as sample_facts;
