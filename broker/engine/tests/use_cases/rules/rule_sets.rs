//! Rule sets: applied, tried beside the active one, rolled out and back.

use super::*;

#[tokio::test]
async fn a_candidate_is_asked_beside_and_decides_only_for_agents_of_a_rollout() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let active = apply(&broker, PERMIT).await.digest;
    let forbid = r#"@id("closed") forbid (principal, action, resource);"#;
    let candidate = apply_as(&broker, &and(forbid), RuleSetRole::Candidate).await.digest;
    let id = granted(&fixture, &broker, 1).await;
    let explanation = broker.explain(&operator(), &id).await.unwrap();
    let shadow = explanation.decisions[0].shadow.as_ref().unwrap();
    assert_eq!(shadow.rules.as_ref(), Some(&candidate));
    assert_eq!(shadow.verdict.outcome, Outcome::Deny);
    let report = broker.shadow_report(Timestamp::from_millis(0), None, None).await.unwrap();
    assert_eq!((report.decisions, report.same), (1, 0));
    assert_eq!(report.flips[0].rules, ["closed"]);
    assert_eq!(report.rules, BTreeMap::from([("all".to_owned(), 0), ("closed".to_owned(), 1)]));

    broker.roll_out_rules(&["other-*".to_owned()], &operator_actor()).await.unwrap();
    fixture.settle(&broker).await;
    assert_eq!(status(&broker, &id).await, GrantStatus::Active);
    broker.roll_out_rules(&["orders-*".to_owned()], &operator_actor()).await.unwrap();
    fixture.settle(&broker).await;
    assert_ne!(status(&broker, &id).await, GrantStatus::Active);
    assert_eq!(broker.elevate(fixture.elevation(2)).await.unwrap_err().code, ErrorCode::RuleDenied);

    let state = broker.roll_back_rules(&operator_actor()).await.unwrap();
    assert_eq!((state.active.as_ref(), state.candidate.as_ref()), (Some(&active), Some(&candidate)));
    assert!(state.rollout.is_empty());
    granted(&fixture, &broker, 3).await;
    let state = broker.promote_rules(&operator_actor()).await.unwrap();
    assert_eq!((state.active, state.candidate), (Some(candidate.clone()), None));
    let state = broker.roll_back_rules(&operator_actor()).await.unwrap();
    assert_eq!((state.active, state.action), (Some(active), RulesAction::Rollback));
    let state = broker.roll_back_rules(&operator_actor()).await.unwrap();
    assert_eq!(state.active, Some(candidate), "a rollback can be taken back");
    let history = broker.rules_history(None, engine::Page::of(None)).await.unwrap();
    let actions: Vec<_> = history.changes.iter().rev().map(|change| change.action.as_str()).collect();
    let expected =
        ["apply", "apply_candidate", "rollout", "rollout", "rollback", "promote", "rollback", "rollback"];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn requests_that_arrive_together_after_a_change_read_the_rule_set_once() {
    let fixture = Fixture::new().await;
    let gate = Gate::open();
    let broker = fixture.broker(Arc::clone(&gate)).await;
    for (change, rules) in
        [PERMIT.to_owned(), and(r#"@id("never") forbid (principal, action, resource) when { false };"#)]
            .iter()
            .enumerate()
    {
        apply(&broker, rules).await;
        let mut requests = tokio::task::JoinSet::new();
        for key in 0..8 {
            let (broker, elevation) =
                (Arc::clone(&broker), fixture.elevation(key + 8 * u8::try_from(change).unwrap()));
            requests.spawn(async move { broker.elevate(elevation).await.unwrap() });
        }
        assert_eq!(requests.join_all().await.len(), 8);
        assert_eq!(gate.rule_sets_read(), change + 1);
    }
}

/// As after an upgrade to a release with a stricter check.
#[tokio::test]
async fn a_candidate_that_is_not_accepted_any_more_leaves_the_decisions_to_the_active_set() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let state = apply(&broker, PERMIT).await.state;
    let digest: protocol::rules::RuleSetDigest = "0".repeat(64).parse().unwrap();
    let stored = RuleSetFiles {
        digest: digest.clone(),
        files: files("no rule"),
        created_at: broker.now(),
        created_by: "an earlier release".to_owned(),
    };
    let next = RulesState { version: state.version + 1, candidate: Some(digest), ..state };
    fixture.store.change_rules(1, &next, Some(&stored)).await.unwrap().unwrap();
    granted(&fixture, &broker, 1).await;
    broker.roll_out_rules(&["*".to_owned()], &operator_actor()).await.unwrap();
    assert_eq!(broker.elevate(fixture.elevation(2)).await.unwrap_err().code, ErrorCode::RuleError);
}

#[tokio::test]
async fn a_set_that_is_applied_again_changes_nothing() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let first = apply(&broker, PERMIT).await;
    let again = apply(&broker, PERMIT).await;
    assert_eq!((first.changed, again.changed), (true, false));
    assert_eq!(again.state.version, first.state.version);
}

#[tokio::test]
async fn a_set_whose_test_case_fails_is_refused() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let case = "[[case]]\nname = \"by default\"\nexpect = \"deny\"\n";
    let request = ApplyRules {
        files: files(PERMIT),
        cases: BTreeMap::from([("rules.toml".to_owned(), case.to_owned())]),
        role: RuleSetRole::Active,
        check_only: false,
    };
    let refused = broker.apply_rules(&request, &Author::Configuration).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRules);
    assert!(refused.detail.contains("by default"), "{}", refused.detail);
    assert_eq!(broker.rules_state().await.unwrap().version, 0);
}
