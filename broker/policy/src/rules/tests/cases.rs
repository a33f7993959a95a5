//! Tests of test cases, and the cases of the sample in `examples/rules`.

use std::fs;
use std::path::Path;

use super::*;

fn sample(extension: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/rules");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|found| found == extension));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn the_sample_passes_its_cases_and_every_rule_decides_one() {
    let set = RuleSet::parse(&sample("cedar")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(set.warnings(), [] as [&str; 0]);
    let mut decided = BTreeSet::new();
    for (file, text) in sample("toml") {
        for case in run_cases(&set, &file, &text).unwrap() {
            assert_eq!(case.failure, None, "{file}: {}", case.name);
            decided.extend(case.verdict.rules);
        }
    }
    let rules: BTreeSet<String> = set.rule_ids().map(str::to_owned).collect();
    assert_eq!(decided, rules);
}

#[test]
fn a_case_that_fails_says_what_was_expected_and_what_was_found() {
    let set = rules(
        r#"@id("all") permit(principal, action, resource);
           @id("no-prod") forbid(principal in Group::"prod", action, resource);"#,
    );
    let text = r#"
        [[case]]
        name = "outcome"
        expect = "deny"
        [[case]]
        name = "rule"
        expect = "deny"
        rule = "all"
        agent = { groups = ["prod"] }
        [[case]]
        name = "right"
        expect = "deny"
        rule = "no-prod"
        agent = { groups = ["prod"] }
    "#;
    let failures: Vec<_> =
        run_cases(&set, "a.toml", text).unwrap().into_iter().map(|case| case.failure).collect();
    assert_eq!(
        failures,
        [
            Some("expected deny, found allow by `all`".to_owned()),
            Some("expected deny by `all`, found deny by `no-prod`".to_owned()),
            None
        ]
    );
}

#[test]
fn a_file_of_cases_with_a_mistake_names_the_case_and_the_known_keys() {
    let set = rules(r#"@id("all") permit(principal, action, resource);"#);
    for (text, expected) in [
        ("", "a.toml: expected at least one `[[case]]`, found none"),
        ("[[cases]]", "unknown field `cases`, expected `default` or `case`"),
        (
            "[[case]]\nname = 'x'\nexpect = 'allow'\ntime = '3'",
            "case 1 `x`: unknown field `time`, expected one of `name`, `expect`, `rule`, `agent`",
        ),
        (
            "[[case]]\nname = 'x'\nexpect = 'maybe'",
            "expected one of `allow`, `needs_approval`, `deny`, `error`",
        ),
        ("[[case]]\nname = 'x'", "missing field `expect`"),
        (
            "[[case]]\nname = 'x'\nexpect = 'allow'\nagent = { name = 'y' }",
            "unknown field `name`, expected one of `id`, `use_case`",
        ),
        (
            "[[case]]\nname = 'x'\nexpect = 'allow'\nposture = { wiz = 'good' }",
            "expected `true`, `false`, or `{ ok = true",
        ),
        (
            "[[case]]\nname = 'x'\nexpect = 'allow'\npolicies = [{ name = 'y', sensitive = true }]",
            "expected a policy's name, or `{ name",
        ),
        (
            "[[case]]\nname = 'x'\nexpect = 'allow'\n[[case]]\nname = 'x'\nexpect = 'allow'",
            "case 2: expected a name of its own, found `x` again",
        ),
        ("[[case]]\nname = 'x'\nexpect = 'allow'\nat = 'noon'", "`noon` is not a time"),
    ] {
        let found = run_cases(&set, "a.toml", text).unwrap_err().to_string();
        assert!(found.contains(expected), "{text}\nexpected {expected}\nfound {found}");
    }
}
