//! What persons may do: Cedar policies over their groups, from a file of the broker's configuration.
//!
//! The rules of persons are apart from the rule sets that decide about grants: who may change a rule set cannot make
//! themselves an approver with it, and a broken rule set locks no person out.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cedar_policy::{
    Context, Entities, Entity, EntityUid, PolicyId, PolicySet, Request, RestrictedExpression, Schema,
};
use domain::{Agent, Grant, ScopeName, Session, TargetKind};
use protocol::people::Right;
use protocol::{PolicyName, Timestamp};

use crate::rules::schema::{ACTION, AGENT, BROKER, GROUP, PERSON, TEAM, entity};
use crate::rules::{Answer, RuleProblems, checked_policies, datetime, text};

#[expect(clippy::expect_used, reason = "the text is part of the program, and every test parses it")]
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let text = include_str!("people/schema.cedarschema");
    Schema::from_cedarschema_str(text).expect("the shipped schema is valid").0
});

/// The rules of persons, checked.
#[derive(Debug, Clone, Default)]
pub struct PeopleRules {
    policies: PolicySet,
    warnings: Vec<String>,
}

/// What a person wants to act on.
#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    /// What belongs to no single agent.
    Broker,
    Agent(&'a Agent),
    /// A request of the agent that persons approve.
    Request(&'a Agent, Requested<'a>),
}

/// What is requested of a target.
#[derive(Debug, Clone, Copy)]
pub struct Requested<'a> {
    pub policies: &'a [PolicyName],
    pub target: TargetKind,
    pub scope: &'a ScopeName,
}

impl<'a> From<&'a Grant> for Requested<'a> {
    fn from(grant: &'a Grant) -> Self {
        Self { policies: &grant.policies, target: grant.target, scope: &grant.scope }
    }
}

/// Why a person may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPermitted {
    /// No rule permits it, or these rules forbid it.
    Denied { rules: Vec<String>, hints: Vec<String> },
    /// Rules could not be evaluated, which refuses.
    Failed(Vec<String>),
}

impl PeopleRules {
    /// Parses and checks a file of rules. Reports all problems at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, RuleProblems> {
        let files = BTreeMap::from([(file.to_owned(), text.to_owned())]);
        let (policies, warnings) = checked_policies(&files, &SCHEMA)?;
        Ok(Self { policies, warnings })
    }

    /// What is probably a mistake: a rule that can never apply.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the person of the session has this right. An error of evaluation refuses.
    pub fn permit(
        &self,
        session: &Session,
        right: Right,
        resource: Resource<'_>,
        now: Timestamp,
    ) -> Result<(), NotPermitted> {
        let failed = |error: String| NotPermitted::Failed(vec![error]);
        let (request, entities) = question(session, right, resource, now).map_err(failed)?;
        let mut answer = Answer::default();
        answer.ask(&self.policies, &request, &entities);
        if answer.is_allowed() {
            return Ok(());
        }
        if !answer.errors.is_empty() {
            let errors = answer.errors.iter().map(|(id, error)| format!("rule `{id}`: {error}"));
            return Err(NotPermitted::Failed(errors.collect()));
        }
        let hint = |id: &String| self.policies.annotation(&PolicyId::new(id), "hint").map(str::to_owned);
        let hints = answer.forbids.iter().filter_map(hint).collect();
        Err(NotPermitted::Denied { rules: answer.forbids.into_iter().collect(), hints })
    }
}

fn question(
    session: &Session,
    right: Right,
    resource: Resource<'_>,
    now: Timestamp,
) -> Result<(Request, Entities), String> {
    let person = entity(&PERSON, &session.person.subject);
    let teams: Vec<EntityUid> = session.groups.iter().map(|name| entity(&TEAM, name)).collect();
    let attributes = [("issuer".to_owned(), text(&session.person.issuer))];
    let mut entities = vec![
        Entity::new(person.clone(), attributes.into(), teams.iter().cloned().collect())
            .map_err(|error| error.to_string())?,
    ];
    entities.extend(teams.into_iter().map(Entity::with_uid));
    let mut context = vec![
        ("now".to_owned(), datetime(now)),
        ("authenticated_at".to_owned(), datetime(session.authenticated_at)),
    ];
    if let Resource::Request(_, requested) = resource {
        let policies = requested.policies.iter().map(|name| text(name.as_str()));
        context.extend([
            ("policies".to_owned(), RestrictedExpression::new_set(policies)),
            ("target".to_owned(), text(requested.target.as_str())),
            ("scope".to_owned(), text(requested.scope.as_str())),
        ]);
    }
    let on = match resource {
        Resource::Broker => {
            let broker = entity(&BROKER, "broker");
            entities.push(Entity::with_uid(broker.clone()));
            broker
        }
        Resource::Agent(agent) | Resource::Request(agent, _) => {
            let uid = entity(&AGENT, agent.id.as_str());
            entities.extend(agent_entities(uid.clone(), agent)?);
            uid
        }
    };
    let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
    let action = entity(&ACTION, right.as_str());
    let request =
        Request::new(person, action, on, context, Some(&SCHEMA)).map_err(|error| error.to_string())?;
    let entities = Entities::from_entities(entities, None).map_err(|error| error.to_string())?;
    Ok((request, entities))
}

/// The agent, with its groups and labels, and the groups.
fn agent_entities(uid: EntityUid, agent: &Agent) -> Result<Vec<Entity>, String> {
    let registration = &agent.registration;
    let groups: Vec<EntityUid> = registration.groups.iter().map(|name| entity(&GROUP, name)).collect();
    let labels = registration.labels.iter().map(|(name, value)| (name.clone(), text(value)));
    let agent =
        Entity::new_with_tags(uid, [], groups.iter().cloned(), labels).map_err(|error| error.to_string())?;
    let mut all = vec![agent];
    all.extend(groups.into_iter().map(Entity::with_uid));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        @id("platform")
        permit (principal in Team::"platform", action, resource);

        @id("payments")
        permit (principal in Team::"payments", action in [Action::"view", Action::"operate"], resource in Group::"payments");

        @id("own-label")
        permit (principal, action == Action::"view", resource is Agent)
        when { resource.hasTag("owner") && resource.getTag("owner") == "carol" && principal == Person::"carol" };

        @id("fresh")
        @hint("sign in again: `cloudanix-jit login --fresh`")
        forbid (principal, action == Action::"register", resource)
        unless { context.now.durationSince(context.authenticated_at) <= duration("15m") };
    "#;

    fn rules() -> PeopleRules {
        PeopleRules::parse("people.cedar", RULES).unwrap()
    }

    fn session(subject: &str, groups: &[&str]) -> Session {
        Session {
            person: protocol::Person {
                issuer: "https://login.example.com".to_owned(),
                subject: subject.to_owned(),
                name: None,
            },
            groups: groups.iter().map(|&name| name.to_owned()).collect(),
            accounts: BTreeMap::new(),
            authenticated_at: Timestamp::from_secs(1000),
            started_at: Timestamp::from_secs(1000),
            ends_at: Timestamp::from_secs(50_000),
        }
    }

    fn agent(groups: &str, owner: &str) -> Agent {
        let source = format!(
            "id = \"orders\"\ndescription = \"d\"\nuse_case = \"other\"\nmax_session = \"1h\"\ngroups = {groups}\n\
             labels = {{ owner = \"{owner}\" }}\ndangerous.allow_auth_token_only = true\n[boundary]\ntarget = \"token\"\n\
             policies = {{ \"orders-read\" = \"orders:read\" }}\n"
        );
        let registration = domain::registration::parse(&source).unwrap();
        Agent {
            id: registration.id.clone(),
            registration,
            source,
            status: domain::AgentStatus::Active,
            created_at: Timestamp::from_secs(0),
            updated_at: Timestamp::from_secs(0),
            revision: 1,
        }
    }

    #[test]
    fn rights_follow_teams_groups_and_labels() {
        let payments = agent("[\"payments\"]", "dave");
        let (others, carols) = (agent("[]", "dave"), agent("[]", "carol"));
        let now = Timestamp::from_secs(1100);
        for (subject, teams, right, resource, expected) in [
            ("alice", &["platform"][..], Right::Register, Resource::Broker, true),
            ("alice", &["platform"], Right::Audit, Resource::Agent(&others), true),
            ("bob", &["payments"], Right::Operate, Resource::Agent(&payments), true),
            ("bob", &["payments"], Right::Register, Resource::Agent(&payments), false),
            ("bob", &["payments"], Right::View, Resource::Agent(&others), false),
            ("bob", &["payments"], Right::View, Resource::Broker, false),
            ("carol", &[], Right::View, Resource::Agent(&carols), true),
            ("carol", &[], Right::View, Resource::Agent(&others), false),
            ("platform", &[], Right::View, Resource::Broker, false),
        ] {
            let found = rules().permit(&session(subject, teams), right, resource, now);
            assert_eq!(found.is_ok(), expected, "{subject} {right:?}: {found:?}");
        }
    }

    #[test]
    fn break_glass_can_be_permitted_for_some_policies_alone() {
        let text = r#"
            @id("restore") permit (principal in Team::"on-call", action == Action::"break_glass", resource)
            when { ["orders-read"].containsAll(context.policies) && context.target == "token" };
        "#;
        let rules = PeopleRules::parse("people.cedar", text).unwrap();
        let (alice, agent) = (session("alice", &["on-call"]), agent("[]", "dave"));
        let scope: ScopeName = TargetKind::Token.into();
        for (policies, expected) in [(&["orders-read"][..], true), (&["orders-read", "orders-write"], false)]
        {
            let policies: Vec<PolicyName> = policies.iter().map(|name| name.parse().unwrap()).collect();
            let requested = Requested { policies: &policies, target: TargetKind::Token, scope: &scope };
            let asked =
                |right| rules.permit(&alice, right, Resource::Request(&agent, requested), alice.started_at);
            assert_eq!(asked(Right::BreakGlass).is_ok(), expected, "{policies:?}");
            assert!(asked(Right::Approve).is_err(), "another right");
        }
    }

    #[test]
    fn an_old_sign_in_is_refused_with_the_hint_of_the_rule() {
        let (alice, old) = (session("alice", &["platform"]), Timestamp::from_secs(1000 + 15 * 60 + 1));
        assert_eq!(
            rules().permit(&alice, Right::Register, Resource::Broker, old),
            Err(NotPermitted::Denied {
                rules: vec!["fresh".to_owned()],
                hints: vec!["sign in again: `cloudanix-jit login --fresh`".to_owned()],
            })
        );
        assert!(rules().permit(&alice, Right::View, Resource::Broker, old).is_ok());
    }

    #[test]
    fn the_rules_in_the_book_are_accepted() {
        let page = include_str!("../../../docs/book/src/operate/people.md");
        let (_, rest) = page.split_once("```cedar\n").unwrap();
        let rules = PeopleRules::parse("people.cedar", rest.split_once("```").unwrap().0).unwrap();
        assert_eq!(rules.warnings(), [""; 0]);
    }

    #[test]
    fn without_rules_persons_may_nothing() {
        let alice = session("alice", &["platform"]);
        let found = PeopleRules::default().permit(&alice, Right::View, Resource::Broker, alice.started_at);
        assert_eq!(found, Err(NotPermitted::Denied { rules: Vec::new(), hints: Vec::new() }));
    }

    #[test]
    fn a_rule_that_cannot_be_evaluated_refuses() {
        let text = r#"
            @id("all") permit (principal, action, resource);
            @id("overflow") forbid (principal, action, resource)
            when { context.now.toTime() < duration("1ms") && 9223372036854775807 + 1 > 0 };
        "#;
        let rules = PeopleRules::parse("people.cedar", text).unwrap();
        let alice = session("alice", &[]);
        let found = rules.permit(&alice, Right::View, Resource::Broker, Timestamp::from_secs(0));
        assert!(
            matches!(&found, Err(NotPermitted::Failed(errors)) if errors[0].contains("overflow")),
            "{found:?}"
        );
    }

    #[test]
    fn mistakes_are_reported_with_their_place() {
        for (text, expected) in [
            ("permit (principal, action, resource);", "people.cedar:1:1: expected an id"),
            ("@id(\"a\") permit (principal in Group::\"platform\", action, resource);", "rule `a`"),
            (
                "@id(\"a\") permit (principal, action == Action::\"elevate\", resource);",
                "unrecognized action `Action::\"elevate\"`",
            ),
            ("@id(\"a\") permit (principal, action, resource) when { principal.mail == \"a@b\" };", "`mail`"),
            ("@id(\"a\") permit (principal action);", "people.cedar:1:"),
            ("@id(\"a\") @quorum(\"2\") forbid (principal, action, resource);", "found `@quorum`"),
        ] {
            match PeopleRules::parse("people.cedar", text) {
                Ok(rules) => {
                    let found = rules.warnings().join("\n");
                    assert!(found.contains(expected), "{text}: {found}");
                }
                Err(problems) => {
                    assert!(problems.to_string().contains(expected), "{text}: {problems}");
                }
            }
        }
    }
}
