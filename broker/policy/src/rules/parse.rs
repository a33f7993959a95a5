//! Parses and checks a rule set; every problem is reported with its place.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    ActionConstraint, Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning,
    Validator,
};

use super::literals::{Named, Reads};
use super::problems::{RuleProblem, RuleProblems, Source};
use super::schema::{Action, schema};
use super::slices::Slices;
use super::{Checked, files};

/// The longest id of a rule, in bytes.
const MAX_ID: usize = 64;
/// The longest hint of a rule, in bytes.
const MAX_HINT: usize = 400;
/// The annotation of a rule that asks for more than one approval.
const QUORUM: &str = "quorum";
/// The most approvals that a rule can ask for.
const MAX_QUORUM: u32 = 10;

/// A rule and its place.
struct Rule<'a> {
    rule: Policy,
    source: Source<'a>,
    /// Where it starts in the file.
    start: usize,
}

pub(super) fn parse(texts: &BTreeMap<String, String>) -> Result<Checked, RuleProblems> {
    let Validated { rules, policies, warnings, mut problems } = validated(texts, schema())?;
    let named = rules.values().map(|rule| {
        let named = Named::of(&rule.rule)
            .unwrap_or_else(|problem| Named { problems: vec![(problem, String::new())], ..Named::default() });
        problems.extend(named.problems.iter().map(|(problem, hint)| rule.problem(problem, hint)));
        named
    });
    let named: Vec<Named> = named.collect();
    problems.extend(rules.values().filter_map(quorum_problem));
    if problems.is_empty() {
        let checked = checked(texts, &rules, &named, policies, warnings);
        return checked.map_err(|problem| RuleProblems::new(vec![RuleProblem::of_set(problem, "")]));
    }
    Err(RuleProblems::new(problems))
}

/// Rules that are checked against another schema, and warnings.
pub(crate) fn checked_policies(
    texts: &BTreeMap<String, String>,
    schema: &Schema,
) -> Result<(PolicySet, Vec<String>), RuleProblems> {
    let Validated { rules, policies, warnings, mut problems } = validated(texts, schema)?;
    let with_quorum = rules.values().filter(|rule| rule.rule.annotation(QUORUM).is_some());
    problems.extend(with_quorum.map(|rule| {
        let problem = "expected the annotations `@id` and `@hint`, found `@quorum`";
        rule.problem(problem, "a quorum belongs to the rule of a rule set that asks for approval")
    }));
    if problems.is_empty() { Ok((policies, warnings)) } else { Err(RuleProblems::new(problems)) }
}

/// Rules after the checks that every schema has in common.
struct Validated<'a> {
    rules: BTreeMap<String, Rule<'a>>,
    policies: PolicySet,
    warnings: Vec<String>,
    problems: Vec<RuleProblem>,
}

fn validated<'a>(
    texts: &'a BTreeMap<String, String>,
    schema: &Schema,
) -> Result<Validated<'a>, RuleProblems> {
    let mut problems = files::check(texts);
    if !problems.is_empty() {
        return Err(RuleProblems::new(problems));
    }
    let sources = texts.iter().map(|(file, text)| Source { file, text });
    let rules: Vec<Rule<'_>> = sources.flat_map(|source| read(source, &mut problems)).collect();
    let rules = with_ids(rules, &mut problems);
    let policies = PolicySet::from_policies(rules.values().map(|rule| rule.rule.clone()))
        .map_err(|error| RuleProblems::new(vec![RuleProblem::of_set(error.to_string(), "")]))?;
    let warnings = validate(schema, &policies, &rules, &mut problems);
    Ok(Validated { rules, policies, warnings, problems })
}

impl Rule<'_> {
    fn problem(&self, problem: &str, hint: &str) -> RuleProblem {
        RuleProblem::new(self.source.place(self.start), problem, hint)
    }
}

/// The rules of one file, in their order.
fn read<'a>(source: Source<'a>, problems: &mut Vec<RuleProblem>) -> Vec<Rule<'a>> {
    let set: PolicySet = match source.text.parse() {
        Ok(set) => set,
        Err(errors) => {
            let errors = cedar_policy::ParseErrors::iter(&errors);
            problems.extend(errors.map(|error| RuleProblem::of_cedar(error, source, 0)));
            return Vec::new();
        }
    };
    for template in set.templates() {
        let start = source.text.find(&template.to_cedar()).unwrap_or_default();
        let problem = "expected a rule, found a template (`?principal` or `?resource`)";
        problems.push(RuleProblem::new(source.place(start), problem, "name the agent, group or policy"));
    }
    let mut rules: Vec<(usize, &Policy)> = set.policies().map(|rule| (number(rule.id()), rule)).collect();
    rules.sort_by_key(|(number, _)| *number);
    let mut end = 0;
    let placed = rules.into_iter().map(|(_, rule)| {
        let text = rule.to_cedar().unwrap_or_default();
        let start = source.text.get(end..).and_then(|rest| rest.find(&text)).map_or(end, |found| end + found);
        end = start + text.len();
        Rule { rule: rule.clone(), source, start }
    });
    placed.collect()
}

/// Cedar numbers the policies of a text: `policy0`, `policy1`.
fn number(id: &PolicyId) -> usize {
    let id: &str = id.as_ref();
    id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(usize::MAX)
}

/// Rules by their ids. A rule without an id has its place as the id, so that it is checked as well.
fn with_ids<'a>(rules: Vec<Rule<'a>>, problems: &mut Vec<RuleProblem>) -> BTreeMap<String, Rule<'a>> {
    let mut by_id: BTreeMap<String, Rule<'a>> = BTreeMap::new();
    for mut rule in rules {
        let place = rule.source.place(rule.start);
        let mut id = None;
        for (name, value) in rule.rule.annotations() {
            match name {
                "id" if files::is_name(value) && value.len() <= MAX_ID => id = Some(value.to_owned()),
                "id" => {
                    let problem = format!(
                        "expected an id of 1 to {MAX_ID} of a-z, 0-9, `.`, `_` and `-`, found {value:?}"
                    );
                    problems.push(rule.problem(&problem, "write it like `@id(\"deploy-hours\")`"));
                    id = Some(place.to_string());
                }
                "hint" => {
                    if value.is_empty() || value.len() > MAX_HINT || value.chars().any(char::is_control) {
                        let problem = format!(
                            "expected a hint of 1 to {MAX_HINT} bytes on one line, found {} bytes",
                            value.len()
                        );
                        problems
                            .push(rule.problem(&problem, "the caller of a refused request sees the hint"));
                    }
                }
                // Checked where the rules of a set are: the rules of persons have none.
                QUORUM => {}
                other => {
                    let problem =
                        format!("expected the annotations `@id`, `@hint` and `@quorum`, found `@{other}`");
                    problems.push(rule.problem(&problem, "write a comment, `// …`"));
                }
            }
        }
        let id = id.unwrap_or_else(|| {
            let problem = "expected an id, found a rule without one";
            problems.push(rule.problem(problem, "write `@id(\"…\")` before the rule: decisions name it"));
            place.to_string()
        });
        if let Some(other) = by_id.get(&id) {
            let problem = format!("expected an id of its own, found `{id}` again");
            let hint = format!("the other rule is at {}", other.source.place(other.start));
            problems.push(rule.problem(&problem, &hint));
            continue;
        }
        rule.rule = rule.rule.new_id(PolicyId::new(&id));
        by_id.insert(id, rule);
    }
    by_id
}

/// The number of persons that a rule asks for.
fn quorum(rule: &Policy) -> Option<u32> {
    let quorum = rule.annotation(QUORUM)?.parse().ok()?;
    (1..=MAX_QUORUM).contains(&quorum).then_some(quorum)
}

/// A quorum is of a `forbid` of `elevate_unattended`: that is the rule which asks for an approval.
fn quorum_problem(rule: &Rule<'_>) -> Option<RuleProblem> {
    let found = rule.rule.annotation(QUORUM)?;
    if quorum(&rule.rule).is_none() {
        let problem = format!("expected a quorum of 1 to {MAX_QUORUM} persons, found {found:?}");
        return Some(rule.problem(&problem, "write it like `@quorum(\"2\")`"));
    }
    let unattended = Action::ElevateUnattended.entity();
    let asks = rule.rule.effect() == Effect::Forbid
        && match rule.rule.action_constraint() {
            ActionConstraint::Any => false,
            ActionConstraint::Eq(action) => action == *unattended,
            ActionConstraint::In(actions) => actions.contains(unattended),
        };
    let problem = "expected `@quorum` on a `forbid` of `Action::\"elevate_unattended\"`, found another rule";
    (!asks)
        .then(|| rule.problem(problem, "the rule that asks for an approval says how many persons it takes"))
}

/// Checks types, strictly. Returns warnings.
fn validate(
    schema: &Schema,
    policies: &PolicySet,
    rules: &BTreeMap<String, Rule<'_>>,
    problems: &mut Vec<RuleProblem>,
) -> Vec<String> {
    let found = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    for error in found.validation_errors() {
        if let Some(rule) = rules.get(AsRef::<str>::as_ref(error.policy_id())) {
            problems.push(RuleProblem::of_cedar(error, rule.source, rule.start));
        }
    }
    let warnings = found.validation_warnings().filter_map(|warning| {
        let rule = rules.get(AsRef::<str>::as_ref(warning.policy_id()))?;
        Some(format!("{}: {}", rule.source.place(rule.start), described(warning)))
    });
    warnings.collect::<BTreeSet<_>>().into_iter().collect()
}

fn described(warning: &ValidationWarning) -> String {
    let id = warning.policy_id();
    #[expect(clippy::wildcard_enum_match_arm, reason = "Cedar's enum, which may grow")]
    match warning {
        ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => {
            format!("rule `{id}` can never apply: no request matches its head and its conditions")
        }
        other => format!("rule `{id}`: {other}"),
    }
}

fn checked(
    texts: &BTreeMap<String, String>,
    rules: &BTreeMap<String, Rule<'_>>,
    named: &[Named],
    policies: PolicySet,
    warnings: Vec<String>,
) -> Result<Checked, String> {
    let mut slices = Slices::default();
    for rule in rules.values() {
        slices.add(&rule.rule)?;
    }
    let hint = |rule: &Rule<'_>| rule.rule.annotation("hint").map(str::to_owned);
    let quorums = rules.iter().filter_map(|(id, rule)| Some((id.clone(), quorum(&rule.rule)?)));
    Ok(Checked {
        digest: files::digest(texts)?,
        warnings,
        quorums: quorums.collect(),
        hints: rules.iter().map(|(id, rule)| (id.clone(), hint(rule))).collect(),
        zones: named.iter().flat_map(|named| named.zones.iter().cloned()).collect(),
        reads: Reads {
            posture: named.iter().any(|named| named.reads.posture),
            run: named.iter().any(|named| named.reads.run),
        },
        slices,
        policies,
    })
}
