//! It works while everything is broken but the database.

use std::collections::BTreeMap;

use protocol::rules::{ApplyRules, RuleSetFiles, RuleSetRole, RulesAction, RulesState};

use super::*;
use crate::fixture::Receiver;

/// Stores a rule set that no release accepts, as the active one.
async fn break_the_rules(fixture: &Fixture, broker: &Engine) {
    let digest: protocol::rules::RuleSetDigest = "e".repeat(64).parse().unwrap();
    let files = RuleSetFiles {
        digest: digest.clone(),
        files: BTreeMap::from([("a.cedar".to_owned(), "permit (nonsense".to_owned())]),
        created_at: broker.now(),
        created_by: "on-call".to_owned(),
    };
    let before = fixture.store.rules().await.unwrap();
    let next = RulesState {
        version: 0,
        active: Some(digest),
        candidate: None,
        rollout: Vec::new(),
        action: RulesAction::Apply,
        at: broker.now(),
        by: "on-call".to_owned(),
    };
    fixture.store.change_rules(before.version, &next, Some(&files)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broken_rule_set_refuses_workloads_and_not_persons() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let before = take(&broker, &alice, 1).await.unwrap();
    break_the_rules(&fixture, &broker).await;
    assert_eq!(broker.elevate(fixture.elevation(2)).await.unwrap_err().code, ErrorCode::RuleError);
    let after = take(&broker, &alice, 3).await.unwrap();
    // The change marked every live grant to be decided again.
    fixture.settle(&broker).await;
    for (grant, number) in [(&before, 1), (&after, 3)] {
        beat(&broker, &alice, grant, number).await.unwrap();
        assert!(
            broker.credentials(Some(&alice), &grant.id, &key(number)).await.unwrap().credentials.is_some()
        );
    }
}

#[tokio::test]
async fn rules_that_refuse_everything_are_not_asked() {
    let fixture = Fixture::new().await;
    let broker = broker(&fixture).await;
    let alice = signed_in(&fixture, &broker, "alice", "on-call").await;
    let before = take(&broker, &alice, 1).await.unwrap();
    let rules = r#"@id("none") forbid (principal, action, resource);"#;
    let files = BTreeMap::from([("rules.cedar".to_owned(), rules.to_owned())]);
    let apply = ApplyRules { files, cases: BTreeMap::new(), role: RuleSetRole::Active, check_only: false };
    broker.apply_rules(&apply, &Author::Actor(operator_actor())).await.unwrap();
    let after = take(&broker, &alice, 2).await.unwrap();
    fixture.settle(&broker).await;
    beat(&broker, &alice, &before, 1).await.unwrap();
    beat(&broker, &alice, &after, 2).await.unwrap();
    let explained = broker.explain(&operator(), &after.id).await.unwrap();
    assert_eq!(explained.decisions[0].kind, protocol::rules::DecisionKind::BreakGlass);
    assert_eq!(explained.decisions[0].enforced.rules, None, "no rule set decided");
}

#[tokio::test]
async fn a_code_works_where_persons_cannot_sign_in_and_no_channel_answers() {
    let (fixture, receiver) = (Fixture::new().await, Receiver::start().await);
    let with_people = broker(&fixture).await;
    let code = sealed(&fixture, &with_people, "*", 1).await.remove(0);
    break_the_rules(&fixture, &with_people).await;
    let broker = fixture.broker(Gate::open()).await;
    let channel = receiver.channel("security", "*");
    drop(receiver);
    broker.set_channels(vec![channel]);
    let grant = take(&broker, &code, 1).await.unwrap();
    beat(&broker, &code, &grant, 1).await.unwrap();
    broker.notify().await.unwrap();
    revoke(&broker, &code, &Revocable::Id(grant.id.clone())).await.unwrap();
    settled(&fixture, &broker, &grant.id).await;
    // No person can review it: the holder of an operator token does.
    let caller = broker.caller(Some(&code)).await.unwrap();
    assert_eq!(broker.state(&caller, &grant.id).await.unwrap().status, GrantStatus::Revoked);
    assert_eq!(review(&broker, &code, &grant.id).await.unwrap_err(), ErrorCode::AuthTokenInvalid);
}
