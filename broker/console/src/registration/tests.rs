use proptest::prelude::*;

use super::platforms::TEMPLATES;
use super::targets::TARGETS;
use super::{Draft, Step};

fn draft(answers: &[(&str, &str)]) -> Draft {
    answers.iter().map(|(name, answer)| ((*name).to_owned(), (*answer).to_owned())).collect()
}

/// The examples that the pages show, as answers.
fn examples(target_name: &str, platform: &str) -> Draft {
    let target = TARGETS.iter().find(|target| target.name == target_name).unwrap();
    let template = TEMPLATES.iter().find(|template| template.platform == platform).unwrap();
    let mut answers = vec![
        ("id".to_owned(), "orders-deploy".to_owned()),
        ("description".to_owned(), "deploys \"main\"".to_owned()),
        ("use_case".to_owned(), "build-workflow".to_owned()),
        ("target".to_owned(), target_name.to_owned()),
        ("policies".to_owned(), target.policy.to_owned()),
        ("max_session".to_owned(), "1h".to_owned()),
        ("platform".to_owned(), platform.to_owned()),
        ("issuer".to_owned(), template.issuer_example.to_owned()),
        ("audience".to_owned(), template.audience.to_owned()),
    ];
    answers.extend(target.fields.iter().map(|field| (field.key.to_owned(), field.example.to_owned())));
    answers.extend(
        template.claims.iter().map(|claim| (format!("claim:{}", claim.name), claim.example.to_owned())),
    );
    answers.into_iter().collect()
}

#[test]
fn the_examples_of_every_target_and_platform_are_a_registration() {
    for target in &TARGETS {
        for template in &TEMPLATES {
            let file = examples(target.name, template.platform).registration(Step::Trust).unwrap();
            let parsed = domain::registration::parse(&file).unwrap_or_else(|error| panic!("{error}: {file}"));
            let [rule] = &parsed.trust.unwrap()[..] else { panic!("{file}") };
            assert_eq!(rule.platform.as_str(), template.platform);
            assert_eq!(rule.claims.len(), template.claims.len());
            let scope = parsed.boundary.first();
            assert_eq!(scope.target.kind().as_str(), target.target);
            assert_eq!(scope.target.policy_names().len(), 1, "{file}");
        }
    }
}

#[test]
fn each_step_alone_can_be_checked() {
    for step in Step::ALL {
        let file = examples("token", "github").registration(step).unwrap();
        domain::registration::parse(&file).unwrap_or_else(|error| panic!("{step:?} {error}: {file}"));
    }
    let first = draft(&[("id", "orders"), ("max_session", "not yet asked")]);
    domain::registration::parse(&first.registration(Step::Agent).unwrap()).unwrap();
}

#[test]
fn a_star_makes_a_pattern_and_other_claims_are_lines() {
    let answers = [
        ("platform", "github"),
        ("claim:repository", "octo-org/*"),
        ("claim:sub", "no claim of this platform"),
        ("more_claims", "workflow = deploy\n\n \"quoted\" = a = b\n"),
    ];
    let file = draft(&answers).registration(Step::Trust).unwrap();
    let claims = file.lines().find(|line| line.starts_with("claims")).unwrap();
    let expected = "claims   = { repository = { glob = \"octo-org/*\" }, workflow = \"deploy\", '\"quoted\"' = \"a = b\" }";
    assert_eq!(claims, expected);
}

#[test]
fn another_platform_forgets_the_issuer_of_the_one_before() {
    let github = "https://token.actions.githubusercontent.com";
    for (platform, issuer, kept) in [
        ("gitlab", github, false),
        ("azure-devops", github, false),
        ("github", github, true),
        ("gitlab", "https://gitlab.example.com", true),
        ("oidc", "", false),
    ] {
        let answers = draft(&[("platform", platform), ("issuer", issuer), ("audience", "a"), ("id", "x")]);
        let adapted = answers.clone().for_its_platform();
        assert_eq!(adapted.get("issuer"), if kept { issuer } else { "" }, "{platform} {issuer}");
        assert_eq!(adapted.get("audience").is_empty(), !kept && !issuer.is_empty(), "{platform} {issuer}");
        assert_eq!(adapted.get("id"), "x");
    }
}

#[test]
fn a_line_that_is_no_pair_is_named() {
    for (name, line) in [("policies", "orders-read"), ("more_claims", "= x"), ("policies", "x =")] {
        let refused = draft(&[("target", "token"), (name, line)]).registration(Step::Trust).unwrap_err();
        assert_eq!(refused, format!("{name}: expected `name = value` on each line, found `{line}`"));
    }
}

proptest! {
    /// Every text stays a value of its key.
    #[test]
    fn no_answer_gets_out_of_its_value(text in "[^\\r]{0,40}|[\"'\\\\{}=\\[\\]#\n\u{7f}]{1,12}") {
        let file = draft(&[("id", &text), ("description", &text), ("issuer", &text), ("claim:ref", &text)])
            .registration(Step::Trust)
            .unwrap();
        let table: toml::Table = file.parse().unwrap();
        let keys: Vec<&str> = table.keys().map(String::as_str).collect();
        prop_assert_eq!(keys, ["boundary", "description", "id", "max_session", "trust", "use_case"]);
        prop_assert_eq!(table["description"].as_str().unwrap(), text.trim());
        prop_assert_eq!(table["trust"].as_array().unwrap().len(), 1);
    }
}
