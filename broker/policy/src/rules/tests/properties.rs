//! Properties over random rule sets and random requests.
//!
//! What the client only claims is not among the facts, so there is no property about it: no value of
//! [`DecisionFacts`] has it, and `decide` takes nothing else.

use std::fmt::Write as _;

use cedar_policy::{Policy, PolicyId, PolicySet};
use proptest::prelude::*;

use super::super::facts::View;
use super::super::schema::Action;
use super::super::slices::Answer;
use super::*;

/// The number of rule sets; `PROPTEST_CASES` overrides it, and 62,500 make a million requests.
const RULE_SETS: u32 = 40;
/// The number of requests to each rule set.
const REQUESTS: usize = 16;

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn principal() -> impl Strategy<Value = String> {
    one_of(&[
        "principal",
        "principal",
        "principal is Agent",
        "principal == Agent::\"a\"",
        "principal in Agent::\"b\"",
        "principal in Group::\"g\"",
        "principal in Group::\"h\"",
        "principal is Agent in Group::\"g\"",
        "principal == Group::\"g\"",
    ])
}

fn action() -> impl Strategy<Value = String> {
    one_of(&[
        "action",
        "action == Action::\"elevate\"",
        "action == Action::\"elevate_unattended\"",
        "action in [Action::\"elevate\", Action::\"elevate_unattended\"]",
        "action in Action::\"elevate\"",
    ])
}

fn resource() -> impl Strategy<Value = String> {
    one_of(&[
        "resource",
        "resource",
        "resource is Policy",
        "resource == Policy::\"p\"",
        "resource in Policy::\"q\"",
        "resource is Policy in Policy::\"p\"",
    ])
}

/// Conditions of every type in the schema; some fail for some requests.
fn condition() -> impl Strategy<Value = String> {
    let atom = one_of(&[
        "true",
        "false",
        "principal == Agent::\"a\"",
        "principal in Group::\"h\"",
        "principal.use_case == UseCase::\"other\"",
        "principal.hasTag(\"team\")",
        "principal.hasTag(\"team\") && principal.getTag(\"team\") like \"pay*\"",
        "resource.sensitivity == Sensitivity::\"high\"",
        "resource has account && resource.account == \"1\"",
        "context.signed has environment && context.signed.environment == \"production\"",
        "context.claims.hasTag(\"runner\") && context.claims.getTag(\"runner\") == \"hosted\"",
        "context has address && context.address.isInRange(ip(\"10.0.0.0/8\"))",
        "context.posture.hasTag(\"wiz\") && context.posture.getTag(\"wiz\").ok",
        "context.request.ttl > duration(\"15m\")",
        "context.request.policies.contains(\"q\")",
        "Zone::\"Europe/Berlin\".time < duration(\"12h\")",
        "Zone::\"Asia/Kolkata\".weekday == 1",
        "context.run.live > 1",
        // Overflows if there is a grant.
        "context.run.live + 9223372036854775807 > 0",
        // Overflows if there are two.
        "context.run.agent_live * 9223372036854775807 > 1",
        // Overflows after 1970-01-01.
        "context.now.offset(duration(\"9223372036854775807ms\")) > context.now",
    ]);
    atom.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) && ({right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) || ({right})")),
            inner.clone().prop_map(|inner| format!("!({inner})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(test, yes, no)| format!("if ({test}) then ({yes}) else ({no})")),
        ]
    })
}

fn rule() -> impl Strategy<Value = String> {
    let effect = one_of(&["permit", "permit", "forbid"]);
    let clause = (one_of(&["when", "unless"]), condition());
    let clauses = prop::collection::vec(clause, 0..3);
    (effect, principal(), action(), resource(), clauses).prop_map(
        |(effect, principal, action, resource, clauses)| {
            let mut rule = format!("{effect} ({principal}, {action}, {resource})");
            for (word, condition) in clauses {
                let _ = write!(rule, " {word} {{ {condition} }}");
            }
            rule + ";"
        },
    )
}

fn request() -> impl Strategy<Value = DecisionFacts> {
    let agent = (one_of(&["a", "b", "c"]), prop::collection::btree_set(one_of(&["g", "h"]), 0..3));
    let kind = prop::sample::select(&[UseCase::BuildWorkflow, UseCase::Other][..]);
    let policy = (one_of(&["p", "q", "r"]), prop::sample::select(Sensitivity::ALL));
    let policies = prop::collection::vec(policy, 1..4);
    let run = (0..3_u32, 0..3_u32);
    let identity = (any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<bool>>());
    let observed = (any::<Option<bool>>(), any::<Option<bool>>(), 1..3600_u32, 0..1_000_000_000_i64);
    (agent, kind, policies, run, identity, observed).prop_map(
        |(agent, kind, policies, run, identity, observed)| {
            let (team, environment, runner) = identity;
            let (address, posture, ttl, at) = observed;
            let mut facts = facts();
            facts.at = Timestamp::from_millis(1_767_225_600_000 + at * 31);
            facts.agent.id = agent.0.parse().unwrap();
            facts.agent.groups = agent.1;
            facts.agent.use_case = kind;
            let labels =
                team.map(|pays| ("team".to_owned(), if pays { "payments" } else { "search" }.to_owned()));
            facts.agent.labels = labels.into_iter().collect();
            facts.request.ttl = protocol::Ttl::from_secs(ttl).unwrap();
            facts.request.account = posture.map(|first| u8::from(first).to_string());
            let digest = "b".repeat(64);
            facts.request.policies = policies
                .into_iter()
                .map(|(name, sensitivity)| PolicyFacts {
                    name: name.parse().unwrap(),
                    sensitivity,
                    digest: digest.clone(),
                })
                .collect();
            let named = |is: bool| if is { "production" } else { "staging" }.to_owned();
            facts.identity.signed.environment = environment.map(named);
            let runner =
                runner.map(|hosted| ("runner".to_owned(), if hosted { "hosted" } else { "own" }.into()));
            facts.identity.claims = runner.into_iter().collect();
            let address = address.map(|inside| if inside { "10.1.2.3" } else { "2001:db8::1" });
            facts.observed.address = address.map(|address| address.parse().unwrap());
            let (as_of, expires_at) = (facts.at, Timestamp::from_millis(i64::MAX));
            let said = posture.map(|ok| ("wiz".to_owned(), PostureFacts { ok, as_of, expires_at }));
            facts.posture = said.into_iter().collect();
            facts.run.live = run.0;
            facts.run.agent_live = run.1;
            facts
        },
    )
}

/// Rules, each as a set of its own and all together, without slices.
struct Reference {
    alone: Vec<PolicySet>,
    whole: PolicySet,
}

impl Reference {
    fn new(rules: &[String]) -> Self {
        let rules = rules.iter().enumerate();
        let rules: Vec<Policy> = rules
            .map(|(n, text)| Policy::parse(Some(PolicyId::new(format!("r{n}"))), text).unwrap())
            .collect();
        let set = |rules: &[Policy]| PolicySet::from_policies(rules.to_vec()).unwrap();
        Self { alone: rules.chunks(1).map(set).collect(), whole: set(&rules) }
    }
}

fn asked(sets: &[PolicySet], view: &View, action: Action, policy: &PolicyFacts) -> Answer {
    let schema = Some(schema::schema());
    let request = view.question(action, &super::super::facts::policy(policy), schema).unwrap();
    let mut answer = Answer::default();
    sets.iter().for_each(|set| answer.ask(set, &request, &view.entities));
    answer
}

fn check(rules: &[String], requests: &[DecisionFacts]) -> Result<(), TestCaseError> {
    let reference = Reference::new(rules);
    let texts = rules.iter().enumerate().map(|(n, rule)| format!("@id(\"r{n}\") {rule}\n"));
    let one_file = BTreeMap::from([("rules.cedar".to_owned(), texts.clone().collect::<String>())]);
    let files = texts.enumerate().map(|(n, text)| (format!("{}.cedar", 9 - n), text)).collect();
    let set = RuleSet::parse(&one_file).map_err(|problems| TestCaseError::fail(problems.to_string()))?;
    let same = RuleSet::parse(&files).map_err(|problems| TestCaseError::fail(problems.to_string()))?;
    for facts in requests {
        let verdict = set.decide(facts);
        prop_assert_eq!(&verdict, &same.decide(facts), "the order and the files of rules change nothing");
        let recorded: DecisionFacts = serde_json::from_str(&serde_json::to_string(facts).unwrap()).unwrap();
        prop_assert_eq!(&verdict, &set.decide(&recorded), "recorded facts have the same verdict");

        let case = case_of("recorded", facts, verdict.outcome).unwrap();
        let results = run_cases(&set, "recorded.toml", &case)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&verdict, &results[0].verdict, "a recorded request is a case with the same verdict");

        let view = View::new(facts, set.zones(), Some(schema::schema())).unwrap();
        let mut worst = Outcome::Allow;
        for policy in &facts.request.policies {
            let mut outcome = Outcome::Allow;
            for (action, refused) in
                [(Action::Elevate, Outcome::Deny), (Action::ElevateUnattended, Outcome::NeedsApproval)]
            {
                let alone = asked(&reference.alone, &view, action, policy);
                let whole = asked(std::slice::from_ref(&reference.whole), &view, action, policy);
                let sliced = set.ask(&view, policy, action).unwrap();
                prop_assert_eq!(&whole.errors, &alone.errors);
                prop_assert_eq!(&sliced.errors, &whole.errors, "slices have the errors of the whole set");
                prop_assert_eq!(&sliced.forbids, &whole.forbids, "slices have the forbids of the whole set");
                // Cedar names the permits only where nothing forbids.
                if whole.forbids.is_empty() {
                    prop_assert_eq!(
                        &sliced.permits,
                        &whole.permits,
                        "slices have the permits of the whole set"
                    );
                    prop_assert_eq!(&whole.permits, &alone.permits);
                }
                prop_assert_eq!(sliced.is_allowed(), whole.is_allowed());
                if !alone.errors.is_empty() {
                    outcome = Outcome::Error;
                } else if !alone.forbids.is_empty() || alone.permits.is_empty() {
                    outcome = refused;
                }
                if outcome != Outcome::Allow {
                    break;
                }
            }
            worst = worst.max(outcome);
        }
        prop_assert_eq!(verdict.outcome, worst, "{:?}", verdict);
        prop_assert_eq!(verdict.outcome == Outcome::Error, !verdict.errors.is_empty());
    }
    Ok(())
}

fn config() -> ProptestConfig {
    let asked = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = std::env::var_os("PROPTEST_CASES").map_or(RULE_SETS, |_| asked.cases);
    ProptestConfig { cases, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn decisions_are_those_of_each_rule_alone(
        rules in prop::collection::vec(rule(), 1..9),
        requests in prop::collection::vec(request(), REQUESTS),
    ) {
        check(&rules, &requests)?;
    }
}
