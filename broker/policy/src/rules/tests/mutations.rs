//! Broken rules: each is refused at parse, or a case shows it.

use super::*;

/// One rule of each kind that the sample has, all valid.
const VALID: &str = r#"
@id("production")
permit (principal in Group::"production", action, resource)
when { context.signed has environment && context.signed.environment == "production" };

@id("hours") @hint("from 8 to 18")
forbid (principal, action == Action::"elevate", resource)
unless { Zone::"Europe/Berlin".time >= duration("8h") && Zone::"Europe/Berlin".time < duration("18h") };

@id("team")
forbid (principal, action, resource)
unless { principal.hasTag("team") && principal.getTag("team") == "payments" };

@id("often")
forbid (principal, action == Action::"elevate", resource)
when { context.run.agent_last_hour + 1 > 10 };
"#;

/// What the rules have to answer; a mutation that parses must break one of these.
const CASES: &str = r#"
[default]
agent = { groups = ["production"], labels = { team = "payments" } }
signed = { environment = "production" }

[[case]]
name = "all is well"
expect = "allow"
rule = "production"

[[case]]
name = "07:30 in Berlin"
at = "2026-01-05T06:30:00Z"
expect = "deny"
rule = "hours"

[[case]]
name = "17:30 in Berlin"
at = "2026-01-05T16:30:00Z"
expect = "allow"

[[case]]
name = "another team"
agent = { groups = ["production"], labels = { team = "search" } }
expect = "deny"
rule = "team"

[[case]]
name = "the eleventh in an hour"
run = { agent_last_hour = 10 }
expect = "deny"
rule = "often"
"#;

#[derive(Debug, Clone, Copy)]
enum Caught {
    /// A problem of the rule set, with this text.
    AtParse(&'static str),
    /// This case fails.
    ByCase(&'static str),
}
use Caught::{AtParse, ByCase};

/// A text of [`VALID`], its replacement, and what catches the mutation.
const MUTATIONS: &[(&str, &str, Caught)] = &[
    (
        "context.signed has environment && ",
        "",
        AtParse("unable to guarantee safety of access to optional attribute `signed.environment`"),
    ),
    ("principal.hasTag(\"team\") && ", "", AtParse("unable to guarantee safety of access to tag")),
    (
        "principal.hasTag(\"team\")",
        "principal.hasTag(\"group\")",
        AtParse("unable to guarantee safety of access to tag"),
    ),
    ("principal in Group::\"production\"", "principal == Group::\"production\"", ByCase("all is well")),
    ("context.signed.environment == \"production\"", "resource in principal", ByCase("all is well")),
    (
        "context.signed.environment == \"production\"",
        "Group::\"production\" in principal",
        ByCase("all is well"),
    ),
    (
        "context.signed.environment == \"production\"",
        "principal in \"production\"",
        AtParse("unexpected type"),
    ),
    ("Zone::\"Europe/Berlin\".time >=", "Zone::\"America/New_York\".time >=", ByCase("all is well")),
    (
        "Zone::\"Europe/Berlin\".time >=",
        "Zone::\"Berlin\".time >=",
        AtParse("expected the name of an IANA time zone, found `Zone::\"Berlin\"`"),
    ),
    (
        "Zone::\"Europe/Berlin\".time >=",
        "Zone::\"europe/berlin\".time >=",
        AtParse("write `Zone::\"Europe/Berlin\"`"),
    ),
    ("duration(\"8h\")", "duration(\"8\")", AtParse("8")),
    ("duration(\"8h\")", "8", AtParse("expected")),
    ("duration(\"8h\")", "duration(\"18h\")", ByCase("all is well")),
    (
        " && Zone::\"Europe/Berlin\".time < duration(\"18h\")",
        " && Zone::\"Europe/Berlin\".time < duration(\"8h\")",
        ByCase("all is well"),
    ),
    ("unless { Zone", "when { Zone", ByCase("all is well")),
    (
        "context.run.agent_last_hour + 1 > 10",
        "context.run.agent_last_hour + 9223372036854775807 > 10",
        ByCase("the eleventh in an hour"),
    ),
    (
        "context.run.agent_last_hour + 1 > 10",
        "context.run.agent_last_hours > 10",
        AtParse("attribute `run.agent_last_hours` in `context` not found"),
    ),
    (
        "context.run.agent_last_hour + 1 > 10",
        "context.run.agent_last_hour == \"10\"",
        AtParse("are not compatible"),
    ),
    (
        "context.run.agent_last_hour + 1 > 10",
        "context.claimed.runner == \"own\"",
        AtParse("attribute `claimed`"),
    ),
    (
        "context.run.agent_last_hour + 1 > 10",
        "context.run.agent_last_hour + 1 > 11",
        ByCase("the eleventh in an hour"),
    ),
    ("@id(\"often\")", "", AtParse("expected an id, found a rule without one")),
    ("@id(\"often\")", "@id", AtParse("expected an id of 1 to 64")),
    ("@id(\"often\")", "@id(\"So often\")", AtParse("expected an id of 1 to 64")),
    ("@id(\"often\")", "@id(\"team\")", AtParse("expected an id of its own, found `team` again")),
    (
        "@id(\"often\")",
        "@id(\"often\") @approval(\"lead\")",
        AtParse("expected the annotations `@id`, `@hint` and `@quorum`, found `@approval`"),
    ),
    ("@hint(\"from 8 to 18\")", "@hint", AtParse("expected a hint of 1 to 400 bytes")),
    ("principal in Group::\"production\"", "principal in ?principal", AtParse("found a template")),
    ("Group::\"production\"", "Team::\"production\"", AtParse("unrecognized entity type `Team`")),
    ("Action::\"elevate\"", "Action::\"elevated\"", AtParse("unrecognized action `Action::\"elevated\"`")),
    ("permit (principal in", "allow (principal in", AtParse("allow")),
    (
        "context.signed has environment",
        "context.signed has environment && resource.sensitivity == Sensitivity::\"hihg\"",
        AtParse("Sensitivity"),
    ),
    (
        "context.signed has environment",
        "context.signed has environment && Agent::\"other\".use_case == principal.use_case",
        AtParse("expected an attribute of `principal`, found `.use_case` of a named Agent"),
    ),
    (
        "context.signed has environment",
        "context.signed has environment && Claims::\"request\".hasTag(\"x\")",
        AtParse("expected `context.claims`, found an entity `Claims::"),
    ),
    (
        "@id(\"production\")\npermit (principal in Group::\"production\", action, resource)\nwhen { context.signed has environment && context.signed.environment == \"production\" };",
        "",
        ByCase("all is well"),
    ),
    ("};\n\n@id(\"team\")", "}\n\n@id(\"team\")", AtParse("unexpected token")),
];

#[test]
fn the_rules_without_a_mutation_pass() {
    for case in run_cases(&rules(VALID), "cases.toml", CASES).unwrap() {
        assert_eq!(case.failure, None, "{}", case.name);
    }
}

#[test]
fn every_mutation_is_caught() {
    let mut wrong = Vec::new();
    for (text, by, caught) in MUTATIONS {
        assert!(VALID.contains(text), "{text}");
        let files = BTreeMap::from([("rules.cedar".to_owned(), VALID.replacen(text, by, 1))]);
        match (RuleSet::parse(&files), caught) {
            (Err(problems), AtParse(expected)) => {
                if !problems.to_string().contains(expected) {
                    wrong.push(format!("{by}: expected {expected:?}, found {problems}"));
                }
                if !problems.iter().all(|problem| problem.place.is_some()) {
                    wrong.push(format!("{by}: a problem has no place: {problems}"));
                }
            }
            (Ok(set), ByCase(name)) => {
                let failed = run_cases(&set, "cases.toml", CASES).unwrap();
                if !failed.iter().any(|case| case.name == *name && case.failure.is_some()) {
                    wrong.push(format!("{by}: case {name:?} passes"));
                }
            }
            (found, AtParse(_) | ByCase(_)) => {
                wrong.push(format!("{by}: expected {caught:?}, found {found:?}"))
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn problems_have_their_places_and_come_all_at_once() {
    let files = BTreeMap::from([
        ("a.cedar".to_owned(), "// One.\n@id(\"x\")\npermit(principal, action, resource) when { context.nothing };\n\n  permit(principal, action, resource);".to_owned()),
        ("b.cedar".to_owned(), "@id(\"x\") permit(principal, action, resource);\npermit(".to_owned()),
    ]);
    let problems = RuleSet::parse(&files).unwrap_err();
    let found: Vec<String> =
        problems.iter().map(|problem| problem.place.clone().unwrap().to_string()).collect();
    assert_eq!(found, ["a.cedar:3:44", "a.cedar:5:3", "b.cedar:2:8"], "{problems}");
}

#[test]
fn a_rule_that_can_never_apply_is_a_warning() {
    let set = rules(
        r#"@id("never") permit(principal, action, resource) when { context.run.live > 0 && false };
           @id("none") permit(principal == Group::"g", action, resource);"#,
    );
    assert_eq!(
        set.warnings(),
        [
            "rules.cedar:1:1: rule `never` can never apply: no request matches its head and its conditions",
            "rules.cedar:2:12: rule `none` can never apply: no request matches its head and its conditions"
        ]
    );
}

#[test]
fn files_are_limited() {
    let rule = |n: usize| format!("@id(\"r{n}\") permit(principal, action, resource);");
    let many: BTreeMap<String, String> = (0..101).map(|n| (format!("f{n}.cedar"), rule(n))).collect();
    let long = BTreeMap::from([("a.cedar".to_owned(), format!("{}//{}", rule(0), "x".repeat(MAX_BYTES)))]);
    let named = |name: &str| BTreeMap::from([(name.to_owned(), rule(0))]);
    for (files, expected) in [
        (BTreeMap::new(), "expected at least one file of rules, found none"),
        (many, "expected at most 100 files, found 101"),
        (long, "expected at most 1048576 bytes in all files"),
        (named("a.txt"), "found \"a.txt\""),
        (named("../a.cedar"), "found \"../a.cedar\""),
        (named(".cedar"), "found \".cedar\""),
    ] {
        let problems = RuleSet::parse(&files).unwrap_err().to_string();
        assert!(problems.contains(expected), "{problems}");
    }
}
