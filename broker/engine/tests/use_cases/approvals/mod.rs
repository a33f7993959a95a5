//! Requests that wait for persons: votes, their end, and what is provisioned.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Author, Elevation, Engine, Revocable};
use protocol::approvals::{Approval, ApprovalRequest, Choice, Vote};
use protocol::rules::{ApplyRules, RuleSetRole};
use protocol::{ErrorCode, EventKind, Grant, GrantId, GrantStatus, RevokeCause, Secret, TimelineEvent};
use store::ApplyMode;

use crate::fixture::{AGENT, Fixture, Gate, operator, operator_actor};
use crate::people::{ISSUER, people, signed_in};

mod crashes;
mod ends;
mod model;
mod notifications;
mod standing;
mod votes;

/// Persons of three teams approve; one of them may also do everything else.
const PERSONS: &str = r#"
    @id("all") permit (principal in Team::"platform", action, resource);
    @id("approvers") permit (principal, action in [Action::"view", Action::"approve"], resource is Agent)
    when { principal in Team::"payments" || principal in Team::"support" };
"#;

/// `orders-read` needs two persons.
const TWO: &str = r#"
    @id("all") permit (principal, action, resource);
    @id("two") @hint("ask #platform") @quorum("2") forbid (principal, action == Action::"elevate_unattended", resource);
"#;

pub(crate) const ONE: &str = r#"
    @id("all") permit (principal, action, resource);
    @id("one") forbid (principal, action == Action::"elevate_unattended", resource);
"#;

const NONE: &str = r#"@id("all") permit (principal, action, resource);"#;

async fn apply(broker: &Engine, rules: &str) {
    let files = BTreeMap::from([("rules.cedar".to_owned(), rules.to_owned())]);
    let request = ApplyRules { files, cases: BTreeMap::new(), role: RuleSetRole::Active, check_only: false };
    broker.apply_rules(&request, &Author::Actor(operator_actor())).await.unwrap();
}

async fn broker(fixture: &Fixture, gate: Arc<Gate>) -> Arc<Engine> {
    let broker = fixture.broker(gate).await;
    broker.set_people(Some(people(ISSUER, PERSONS)));
    broker
}

/// A broker with these rules.
pub(crate) async fn broker_with(fixture: &Fixture, rules: &str) -> Arc<Engine> {
    let broker = broker(fixture, Gate::open()).await;
    apply(&broker, rules).await;
    broker
}

/// Without heartbeats, so that time can pass.
fn elevation(fixture: &Fixture, key: u8) -> Elevation {
    let mut elevation = fixture.elevation(key);
    elevation.request.heartbeat = false;
    elevation
}

pub(crate) async fn asked(fixture: &Fixture, broker: &Engine) -> Grant {
    let grant = broker.elevate(elevation(fixture, 1)).await.unwrap().grant;
    assert_eq!(grant.status, GrantStatus::PendingApproval);
    assert_eq!((grant.credentials.is_some(), fixture.objects()), (false, 0), "nothing is provisioned");
    grant
}

async fn collected(fixture: &Fixture, broker: &Engine) -> Grant {
    let grant = broker.elevate(elevation(fixture, 1)).await.unwrap().grant;
    assert_eq!((grant.status, fixture.objects()), (GrantStatus::Active, 3));
    assert!(grant.credentials.is_some());
    grant
}

fn approval(grant: &Grant) -> &Approval {
    grant.approval.as_ref().unwrap()
}

/// Makes the policy one of high sensitivity.
async fn make_sensitive(broker: &Engine) {
    let source = broker.agent(&AGENT.parse().unwrap()).await.unwrap().registration;
    let high = source.replace("[dangerous]", "sensitivity = { \"orders-read\" = \"high\" }\n[dangerous]");
    let author = Author::Actor(operator_actor());
    broker.apply_agent(&high, ApplyMode::Replace, &author).await.unwrap();
}

async fn vote(
    broker: &Engine,
    person: &Secret,
    grant: &Grant,
    choice: Choice,
) -> Result<ApprovalRequest, ErrorCode> {
    let vote = Vote { digest: approval(grant).digest.clone(), choice, because: Some("ticket 7".to_owned()) };
    broker.vote(Some(person), &grant.id, &vote).await.map_err(|refusal| refusal.code)
}

async fn approve(broker: &Engine, person: &Secret, grant: &Grant) -> Result<ApprovalRequest, ErrorCode> {
    vote(broker, person, grant, Choice::Approve).await
}

async fn events(broker: &Engine, id: &GrantId) -> Vec<TimelineEvent> {
    let timeline = broker.timeline(&operator(), id).await.unwrap();
    assert!(timeline.intact, "{:?}", timeline.broken);
    timeline.events
}

async fn state(broker: &Engine, id: &GrantId) -> Grant {
    broker.state(&operator(), id).await.unwrap()
}
