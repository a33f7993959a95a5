//! Decisions by rules: what is granted, refused, recorded, and decided again.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::facts::ObservedFacts;
use engine::{Author, Engine, PostureSource, Settings};
use protocol::posture::{PostureOutcome, PostureReport};
use protocol::rules::{
    ApplyRules, DecisionKind, Outcome, ReplayRequest, RuleSetFiles, RuleSetRole, RulesAction, RulesApplied,
    RulesState,
};
use protocol::{ErrorCode, EventKind, GrantId, GrantStatus, Secret, Timestamp};
use store::ApplyMode;

use crate::fixture::{AGENT, Fixture, Gate, operator, operator_actor};

mod deciding;
mod live_grants;
mod posture;
mod recorded;
mod rule_sets;

const PERMIT: &str = r#"@id("all") permit (principal, action, resource);"#;

fn files(rules: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("rules.cedar".to_owned(), rules.to_owned())])
}

async fn apply_as(broker: &Engine, rules: &str, role: RuleSetRole) -> RulesApplied {
    let request = ApplyRules { files: files(rules), cases: BTreeMap::new(), role, check_only: false };
    broker.apply_rules(&request, &Author::Actor(operator_actor())).await.unwrap()
}

async fn apply(broker: &Engine, rules: &str) -> RulesApplied {
    apply_as(broker, rules, RuleSetRole::Active).await
}

fn and(rule: &str) -> String {
    format!("{PERMIT}\n{rule}")
}

async fn status(broker: &Engine, id: &GrantId) -> GrantStatus {
    broker.state(&operator(), id).await.unwrap().status
}

async fn events(broker: &Engine, id: &GrantId) -> Vec<protocol::TimelineEvent> {
    let timeline = broker.timeline(&operator(), id).await.unwrap();
    assert!(timeline.intact, "{:?}", timeline.broken);
    timeline.events
}

async fn granted(fixture: &Fixture, broker: &Engine, key: u8) -> GrantId {
    broker.elevate(fixture.elevation(key)).await.unwrap().grant.id
}
