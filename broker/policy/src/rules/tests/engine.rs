//! The digest, what is read, the size of slices, and facts at their limits.

use super::*;

#[test]
fn the_digest_names_files_and_texts() {
    let digest = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        RuleSet::parse(&files).unwrap().digest().clone()
    };
    let rule = "@id(\"a\") permit(principal, action, resource);";
    let one = digest(&[("a.cedar", rule)]);
    assert_eq!(one, digest(&[("a.cedar", rule)]));
    for other in [
        digest(&[("b.cedar", rule)]),
        digest(&[("a.cedar", &format!("{rule}\n"))]),
        digest(&[("a.cedar", rule), ("b.cedar", "")]),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn a_set_knows_which_facts_it_reads() {
    let with = |condition: &str| {
        rules(&format!("@id(\"r\") forbid(principal, action, resource) when {{ {condition} }};"))
    };
    for (condition, posture, run) in [
        ("context.request.heartbeat", false, false),
        ("context.posture.hasTag(\"wiz\")", true, false),
        ("context.run.live > 3", false, true),
        ("if context has address then context.run.live > 3 else context.posture.hasTag(\"a\")", true, true),
        ("context == context", true, true),
        ("context.trust == \"context.posture\"", false, false),
    ] {
        let set = with(condition);
        assert_eq!((set.reads_posture(), set.reads_run()), (posture, run), "{condition}");
    }
    let zones = with("Zone::\"Asia/Tokyo\".weekday == 1 || Zone::\"UTC\".weekday == 7");
    assert_eq!(zones.zones().iter().collect::<Vec<_>>(), ["Asia/Tokyo", "UTC"]);
}

#[test]
fn a_decision_evaluates_only_rules_whose_heads_match() {
    let mut text = String::new();
    for n in 0..990 {
        text += &format!("@id(\"other-{n}\") permit(principal == Agent::\"agent-{n}\", action, resource);\n");
    }
    for n in 0..3 {
        text += &format!("@id(\"own-{n}\") permit(principal == Agent::\"deploy\", action, resource);\n");
        text +=
            &format!("@id(\"group-{n}\") permit(principal in Group::\"production\", action, resource);\n");
        text +=
            &format!("@id(\"all-{n}\") permit(principal, action, resource == Policy::\"orders-read\");\n");
    }
    text += "@id(\"unattended\") permit(principal, action == Action::\"elevate_unattended\", resource);\n";
    let set = rules(&text);
    let facts = facts();
    let view = View::new(&facts, set.zones(), None).unwrap();
    let policy = Some(facts::policy(&facts.request.policies[0]));
    for (action, expected) in [(Action::Elevate, 9), (Action::ElevateUnattended, 10)] {
        let slices = set.0.slices.of(action, &view.principals, &policy);
        assert_eq!(slices.map(cedar_policy::PolicySet::num_of_policies).sum::<usize>(), expected);
    }
    assert_eq!(set.decide(&facts).rules.len(), 10);
}

#[test]
fn facts_with_many_claims_are_decided() {
    let mut facts = facts();
    for n in 0..256 {
        facts
            .identity
            .claims
            .insert(format!("https://claims.example/{n}:\"quoted\"\n"), "x".repeat(64).into());
    }
    let set = rules(
        r#"@id("claim") permit(principal, action, resource)
           when { context.claims.hasTag("https://claims.example/255:\"quoted\"\n") };"#,
    );
    assert_eq!(set.decide(&facts).outcome, Outcome::Allow);
}

#[test]
fn every_address_is_read() {
    let set = rules(
        r#"@id("v4") permit(principal, action, resource)
           when { context has address && context.address.isInRange(ip("192.0.2.0/24")) };
           @id("v6") permit(principal, action, resource)
           when { context has address && context.address.isInRange(ip("2001:db8::/32")) };"#,
    );
    for (address, expected) in [
        ("192.0.2.1", Outcome::Allow),
        ("::ffff:192.0.2.1", Outcome::Allow),
        ("2001:db8::1", Outcome::Allow),
        ("2001:db8:1:2:3:4:5:6", Outcome::Allow),
        ("::1", Outcome::Deny),
        ("::192.0.2.1", Outcome::Deny),
        ("64:ff9b::192.0.2.1", Outcome::Deny),
        ("198.51.100.1", Outcome::Deny),
    ] {
        let mut facts = facts();
        facts.observed.address = Some(address.parse().unwrap());
        assert_eq!(set.decide(&facts).outcome, expected, "{address}");
    }
}

#[test]
fn a_posture_statement_ends_when_it_says() {
    let set =
        rules(r#"@id("wiz") permit(principal, action, resource) when { context.posture.hasTag("wiz") };"#);
    let mut facts = facts();
    let end = facts.posture["wiz"].expires_at;
    facts.at = Timestamp::from_millis(end.as_millis() - 1);
    assert_eq!(set.decide(&facts).outcome, Outcome::Allow);
    facts.at = end;
    assert_eq!(set.decide(&facts).outcome, Outcome::Deny);
}

#[test]
fn the_first_refused_policy_is_named_with_hints() {
    let set = rules(
        r#"@id("all") permit(principal, action, resource);
           @id("b") @hint("not b") forbid(principal, action == Action::"elevate_unattended", resource == Policy::"b");
           @id("c") @hint("not c") forbid(principal, action == Action::"elevate", resource == Policy::"c");
           @id("d") @hint("not d") forbid(principal, action, resource == Policy::"d");"#,
    );
    for (policies, outcome, policy, hint) in [
        (vec!["a", "b"], Outcome::NeedsApproval, Some("b"), Some("not b")),
        (vec!["b", "c", "d"], Outcome::Deny, Some("c"), Some("not c")),
        (vec!["b", "d", "c"], Outcome::Deny, Some("d"), Some("not d")),
        (vec!["a", "a"], Outcome::Allow, None, None),
        (vec![], Outcome::Deny, None, None),
    ] {
        let mut facts = facts();
        let template = facts.request.policies[0].clone();
        let named = |name: &str| PolicyFacts { name: name.parse().unwrap(), ..template.clone() };
        facts.request.policies = policies.iter().map(|name| named(name)).collect();
        let verdict = set.decide(&facts);
        let found = verdict.policy.as_ref().map(protocol::PolicyName::as_str);
        assert_eq!((verdict.outcome, found), (outcome, policy), "{policies:?}");
        assert_eq!(verdict.hints.first().map(String::as_str), hint, "{policies:?}");
    }
}

#[test]
fn a_rule_that_fails_is_named_with_its_error() {
    let set = rules(
        r#"@id("all") permit(principal, action, resource);
           @id("fails") forbid(principal, action, resource) when { context.run.live * 9223372036854775807 > 1 };"#,
    );
    let mut facts = facts();
    assert_eq!(set.decide(&facts).outcome, Outcome::Allow);
    facts.run.live = 2;
    let verdict = set.decide(&facts);
    assert_eq!((verdict.outcome, verdict.rules), (Outcome::Error, vec!["fails".to_owned()]));
    assert!(verdict.errors[0].starts_with("rule `fails`: integer overflow"), "{:?}", verdict.errors);
}
