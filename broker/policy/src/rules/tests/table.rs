//! The decision table: rules, and the answer to the request of [`super::facts`].

use super::*;

const PERMIT: &str = r#"@id("all") permit(principal, action, resource);"#;

fn decided(text: &str) -> (Outcome, Vec<String>) {
    let verdict = rules(text).decide(&facts());
    (verdict.outcome, verdict.rules)
}

#[test]
fn the_facts_fit_the_schema() {
    let view =
        facts::View::new(&facts(), &["Europe/Berlin".to_owned()].into(), Some(schema::schema())).unwrap();
    let policy = facts::policy(&facts().request.policies[0]);
    for action in Action::ALL {
        view.question(action, &policy, Some(schema::schema())).unwrap();
    }
}

#[test]
fn conditions_read_every_kind_of_fact() {
    for (condition, expected) in [
        ("principal == Agent::\"deploy\"", Outcome::Allow),
        ("principal == Agent::\"other\"", Outcome::Deny),
        ("principal in Group::\"production\"", Outcome::Allow),
        ("principal in Group::\"staging\"", Outcome::Deny),
        ("principal.use_case == UseCase::\"build-workflow\"", Outcome::Allow),
        ("principal.hasTag(\"team\") && principal.getTag(\"team\") == \"payments\"", Outcome::Allow),
        ("resource == Policy::\"orders-read\"", Outcome::Allow),
        ("resource.target == \"token\" && resource.scope == \"token\"", Outcome::Allow),
        ("resource has account", Outcome::Deny),
        ("resource.sensitivity == Sensitivity::\"normal\"", Outcome::Allow),
        ("resource.sensitivity == Sensitivity::\"high\"", Outcome::Deny),
        ("Zone::\"Europe/Berlin\".time == duration(\"11h\")", Outcome::Allow),
        ("Zone::\"Europe/Berlin\".weekday == 7", Outcome::Allow),
        ("Zone::\"Europe/Berlin\".date == \"2026-11-29\"", Outcome::Allow),
        ("context.now == datetime(\"2026-11-29T10:00:00Z\")", Outcome::Allow),
        ("context.trust == \"oidc\"", Outcome::Allow),
        ("context has platform && context.platform == \"github\"", Outcome::Allow),
        ("context.signed has environment && context.signed.environment == \"production\"", Outcome::Allow),
        ("context.signed has ref", Outcome::Deny),
        (
            "context.claims.hasTag(\"run_attempt\") && context.claims.getTag(\"run_attempt\") == \"1\"",
            Outcome::Allow,
        ),
        ("context.claims.hasTag(\"aud\")", Outcome::Deny),
        ("context has address && context.address.isInRange(ip(\"192.0.2.0/24\"))", Outcome::Allow),
        ("context has country && context.country == \"DE\"", Outcome::Allow),
        ("context.posture.hasTag(\"wiz\") && context.posture.getTag(\"wiz\").ok", Outcome::Allow),
        ("context.posture.hasTag(\"mdm\")", Outcome::Deny),
        ("context.request.ttl <= duration(\"15m\") && context.request.heartbeat", Outcome::Allow),
        ("context.request.policies.contains(\"orders-read\")", Outcome::Allow),
        ("context.run.live == 0 && context.run.agent_last_hour < 1", Outcome::Allow),
    ] {
        let text = format!("@id(\"r\") permit(principal, action, resource) when {{ {condition} }};");
        assert_eq!(decided(&text).0, expected, "{condition}");
    }
}

#[test]
fn the_worst_answer_wins() {
    let forbid =
        "@id(\"no\") @hint(\"not today\") forbid(principal, action == Action::\"elevate\", resource);";
    let person = "@id(\"person\") forbid(principal, action == Action::\"elevate_unattended\", resource);";
    let fails = "@id(\"fails\") forbid(principal, action, resource) when { 9223372036854775807 + context.run.live + 1 > 0 };";
    for (texts, outcome, ids) in [
        (vec![PERMIT], Outcome::Allow, vec!["all"]),
        (vec!["@id(\"x\") permit(principal == Agent::\"other\", action, resource);"], Outcome::Deny, vec![]),
        (vec![PERMIT, person], Outcome::NeedsApproval, vec!["person"]),
        (vec![PERMIT, person, forbid], Outcome::Deny, vec!["no"]),
        (vec![PERMIT, person, forbid, fails], Outcome::Error, vec!["fails"]),
        (
            vec!["@id(\"x\") permit(principal, action == Action::\"elevate\", resource);"],
            Outcome::NeedsApproval,
            vec![],
        ),
    ] {
        let text = texts.join("\n");
        let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        assert_eq!(decided(&text), (outcome, ids), "{text}");
    }
}

#[test]
fn the_highest_quorum_counts_and_every_rule_that_asks_is_named() {
    let mut facts = facts();
    let mut other = facts.request.policies[0].clone();
    other.name = "orders-write".parse().unwrap();
    facts.request.policies.push(other);
    let set = rules(
        r#"@id("all") permit(principal, action, resource);
           @id("three") @quorum("3") @hint("ask us")
           forbid(principal, action == Action::"elevate_unattended", resource == Policy::"orders-write");
           @id("two") @quorum("2")
           forbid(principal, action in [Action::"elevate_unattended"], resource == Policy::"orders-read");"#,
    );
    let verdict = set.decide(&facts);
    assert_eq!((verdict.outcome, verdict.quorum), (Outcome::NeedsApproval, Some(3)));
    assert_eq!(
        (verdict.rules, verdict.hints),
        (vec!["three".to_owned(), "two".to_owned()], vec!["ask us".to_owned()])
    );
    // Nothing permits it without a person, and no rule says how many.
    let verdict =
        rules(r#"@id("attended") permit(principal, action == Action::"elevate", resource);"#).decide(&facts);
    assert_eq!((verdict.outcome, verdict.quorum), (Outcome::NeedsApproval, Some(1)));
}

#[test]
fn a_quorum_belongs_to_the_rule_that_asks_for_approval() {
    for (rule, expected) in [
        (
            r#"@quorum("0") forbid(principal, action == Action::"elevate_unattended", resource);"#,
            "1 to 10 persons",
        ),
        (
            r#"@quorum("11") forbid(principal, action == Action::"elevate_unattended", resource);"#,
            "1 to 10 persons",
        ),
        (
            r#"@quorum("two") forbid(principal, action == Action::"elevate_unattended", resource);"#,
            "1 to 10 persons",
        ),
        (
            r#"@quorum("2") permit(principal, action == Action::"elevate_unattended", resource);"#,
            "found another rule",
        ),
        (r#"@quorum("2") forbid(principal, action == Action::"elevate", resource);"#, "found another rule"),
        (r#"@quorum("2") forbid(principal, action, resource);"#, "found another rule"),
    ] {
        let files = BTreeMap::from([("a.cedar".to_owned(), format!("@id(\"a\") {rule}"))]);
        let problems = RuleSet::parse(&files).unwrap_err().to_string();
        assert!(problems.contains(expected), "{rule}: {problems}");
    }
}
