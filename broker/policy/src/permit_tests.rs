use std::collections::BTreeMap;

use domain::{Agent, AgentStatus};

use super::*;
use crate::rules::sample_facts;
use crate::{AccessRequest, Holder, check};

/// The request of [`sample_facts`].
fn within_boundary() -> WithinBoundary {
    let source = r#"
        id = "deploy"
        use_case = "build-workflow"
        max_session = "1h"
        [[trust]]
        issuer = "https://issuer.example"
        platform = "oidc"
        audience = "cloudanix-jit"
        claims = { sub = "deploy" }
        [boundary]
        target = "token"
        policies = { "orders-read" = "orders:read" }
    "#;
    let registration = domain::registration::parse(source).unwrap();
    let at = protocol::Timestamp::from_secs(0);
    let (id, source, status) = (registration.id.clone(), source.to_owned(), AgentStatus::Active);
    let agent = Agent { id, registration, source, status, created_at: at, updated_at: at, revision: 1 };
    let policies = ["orders-read".parse().unwrap()];
    let ttl = "15m".parse().unwrap();
    let request = AccessRequest { policies: &policies, ttl, target: None, holder: Holder::Heartbeat };
    check(&agent, request).unwrap()
}

fn rules(text: &str) -> RuleSet {
    let files = BTreeMap::from([("rules.cedar".to_owned(), text.to_owned())]);
    RuleSet::parse(&files).unwrap_or_else(|problems| panic!("{problems}"))
}

const PERMIT: &str = r#"@id("all") permit(principal, action, resource);"#;

#[test]
fn without_a_rule_set_what_is_within_the_boundary_is_permitted() {
    let facts = sample_facts();
    let (verdict, permit) = within_boundary().decide(None, &facts, None);
    assert_eq!(verdict, Verdict::without_rules());
    assert_eq!(permit.unwrap().policies(), within_boundary().policies());
}

#[test]
fn refusals_name_the_policy_the_rules_and_what_to_do() {
    let facts = sample_facts();
    for (text, code, detail, hint) in [
        (
            r#"@id("other") permit(principal == Agent::"other", action, resource);"#.to_owned(),
            ErrorCode::RuleDenied,
            "rules: expected one that permits policy `orders-read`, found none",
            "ask an operator: `cloudanix-jit rules show` prints the rules",
        ),
        (
            format!(
                r#"{PERMIT} @id("b") forbid(principal, action, resource);
                   @id("a") @hint("wait for Monday") forbid(principal, action, resource);"#
            ),
            ErrorCode::RuleDenied,
            "policy `orders-read` is refused by rules `a`, `b`",
            "wait for Monday",
        ),
        (
            format!(
                r#"{PERMIT} @id("person") forbid(principal, action == Action::"elevate_unattended", resource);"#
            ),
            ErrorCode::ApprovalRequired,
            "policy `orders-read` needs a person's approval by rule `person`",
            "a request for it waits until persons have approved it",
        ),
        (
            r#"@id("elevate") permit(principal, action == Action::"elevate", resource);"#.to_owned(),
            ErrorCode::ApprovalRequired,
            "rules: expected one that permits policy `orders-read` without a person, found none",
            "a request for it waits until persons have approved it",
        ),
        (
            format!(
                r#"{PERMIT} @id("fails") forbid(principal, action, resource)
                   when {{ context.run.live + 9223372036854775807 + 1 > 0 }};"#
            ),
            ErrorCode::RuleError,
            "rule `fails` could not be evaluated for policy `orders-read`",
            "an operator is alerted, and has to correct the rules",
        ),
    ] {
        let (_, permit) = within_boundary().decide(Some(&rules(&text)), &facts, None);
        let denied = permit.unwrap_err();
        assert_eq!(
            (denied.code, denied.detail.as_str(), denied.hint.as_str()),
            (code, detail, hint),
            "{text}"
        );
    }
}

#[test]
fn facts_of_another_request_permit_nothing() {
    let facts = sample_facts();
    let set = rules(PERMIT);
    let decide = |facts: &DecisionFacts| {
        let (verdict, permit) = within_boundary().decide(Some(&set), facts, None);
        (verdict.outcome, permit.map_err(|denied| denied.code).err())
    };
    assert_eq!(decide(&facts), (Outcome::Allow, None));
    let mut others = vec![facts.clone(), facts.clone(), facts.clone(), facts.clone()];
    others[0].agent.id = "other".parse().unwrap();
    others[1].request.ttl = "16m".parse().unwrap();
    others[2].request.policies.clear();
    others[3].request.policies[0].name = "orders-write".parse().unwrap();
    for other in &others {
        assert_eq!(decide(other), (Outcome::Error, Some(ErrorCode::RuleError)));
    }
}

fn approval(quorum: u32, persons: &[&str]) -> Approval {
    let vote = |subject: &&str| domain::Vote {
        session: domain::Session {
            person: protocol::Person {
                issuer: "https://login.example.com".to_owned(),
                subject: (*subject).to_owned(),
                name: None,
            },
            groups: [].into(),
            accounts: [].into(),
            authenticated_at: protocol::Timestamp::from_secs(0),
            started_at: protocol::Timestamp::from_secs(0),
            ends_at: protocol::Timestamp::from_secs(60),
        },
        at: protocol::Timestamp::from_secs(1),
        standing: None,
    };
    let subject = domain::ApprovalSubject { digest: String::new(), parts: [].into() };
    let votes = persons.iter().map(vote).collect();
    Approval { subject, quorum, rules: Vec::new(), hints: Vec::new(), started_by: [].into(), votes }
}

#[test]
fn an_approval_permits_what_the_rules_ask_for_and_nothing_that_they_deny() {
    let facts = sample_facts();
    let unattended = "forbid(principal, action == Action::\"elevate_unattended\", resource);";
    let one = format!("{PERMIT} @id(\"one\") {unattended}");
    let two = format!("{PERMIT} @id(\"two\") @quorum(\"2\") {unattended} @id(\"one\") {unattended}");
    let denied = format!("{one} @id(\"frozen\") forbid(principal, action, resource);");
    for (text, given, expected) in [
        (&one, None, Some(ErrorCode::ApprovalRequired)),
        (&one, Some(approval(1, &[])), Some(ErrorCode::ApprovalRequired)),
        (&one, Some(approval(1, &["alice"])), None),
        (&two, Some(approval(1, &["alice"])), Some(ErrorCode::ApprovalRequired)),
        (&two, Some(approval(1, &["alice", "bob"])), Some(ErrorCode::ApprovalRequired)),
        (&two, Some(approval(2, &["alice", "alice"])), Some(ErrorCode::ApprovalRequired)),
        (&two, Some(approval(2, &["alice", "bob"])), None),
        (&denied, Some(approval(1, &["alice"])), Some(ErrorCode::RuleDenied)),
    ] {
        let (_, permit) = within_boundary().decide(Some(&rules(text)), &facts, given.as_ref());
        assert_eq!(permit.map_err(|denied| denied.code).err(), expected, "{text} {given:?}");
    }
}
